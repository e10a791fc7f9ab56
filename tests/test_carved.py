"""Candidates cut from a large target: they stand inside as the target does, and keep the limits."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from grs_evo import InputError
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, candidate
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure, from_atoms

ELEMENTS = ("Al", "Ni")


@pytest.fixture(scope="module")
def target() -> Structure:
    """A warm solid solution on fcc: 256 atoms."""
    atoms = bulk("Al", a=3.9, cubic=True) * (4, 4, 4)
    rng = np.random.default_rng(0)
    atoms.symbols[rng.permutation(256)[:128]] = "Ni"
    atoms.positions += rng.normal(0, 0.08, atoms.positions.shape)
    return from_atoms(atoms, ELEMENTS)


def near_the_target(one: Structure, target: Structure) -> float:
    """Share of atoms whose distances to twelve neighbours lie as an fcc shell does."""
    shells = []
    for structure in (one, target):
        pairs = neighbours(structure, 5.0)
        parts = np.split(pairs.distances, np.searchsorted(pairs.first, np.arange(1, structure.n_atoms)))
        shells.append(np.array([np.sort(part)[:12] for part in parts]))
    low, high = shells[1].min(0) - 0.05, shells[1].max(0) + 0.05
    return float(((shells[0] > low) & (shells[0] < high)).all(1).mean())


def test_a_cut_cell_keeps_the_limits_and_the_target_inside(target: Structure) -> None:
    def drawn(carved: float) -> list[Structure]:
        options = CandidateOptions(kind="random", sizes=(80, 80), min_distance=2.0, carved=carved, shape="cubic")
        source = bind(options, ELEMENTS, [target])
        rng = np.random.default_rng(1)
        made = [one for _ in range(5) if (one := candidate(rng, source)) is not None]
        assert all(source.limits.violation(one) is None for one in made)
        assert all(one.counts(2).tolist() == [40, 40] for one in made)
        return made

    cut, placed = drawn(1.0), drawn(0.0)
    assert len(cut) == 5
    assert np.mean([near_the_target(one, target) for one in cut]) > 0.12
    assert np.mean([near_the_target(one, target) for one in placed]) < 0.04
    again = drawn(1.0)
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(cut, again, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": (200, 200)}, "needs a periodic structure of 400 atoms; its largest has 256"),
        ({"sizes": (40, 40), "kind": "lattice"}, 'kind must be "random", not "lattice"'),
    ],
)
def test_what_cannot_be_cut_is_refused(options: dict, message: str, target: Structure) -> None:
    with pytest.raises(InputError, match=message):
        bind(CandidateOptions(**{"kind": "random", "carved": 0.5, **options}), ELEMENTS, [target])


def pieces(target: Structure, elements: tuple[str, ...], sizes: tuple[int, int], density: float) -> list[Structure]:
    options = CandidateOptions(
        kind="random",
        sizes=sizes,
        carved=1.0,
        carved_between_atoms=True,
        composition="free",
        number_density=density,
        volume=(0.8, 5.0),
        min_distance=1.8,
    )
    source = bind(options, elements, [target])
    rng = np.random.default_rng(2)
    made = [one for _ in range(12) if (one := candidate(rng, source)) is not None]
    assert all(source.limits.violation(one) is None for one in made)
    return made


def test_a_piece_of_a_crystal_goes_on_in_its_images() -> None:
    """Of a strained crystal at rest every piece is that crystal: all atoms have its first shells, to rounding."""
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True) * (2, 2, 2)
    strain = np.array([[0.02, 0.01, 0], [0, -0.03, 0], [0, 0.02, 0.01]])
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    target = from_atoms(atoms, ("Na", "Cl"))
    made = pieces(target, ("Na", "Cl"), (4, 16), target.n_atoms / target.volume)
    assert len(made) == 12
    assert len({one.n_atoms for one in made}) > 2
    wanted = np.sort(neighbours(target, 4.5).distances[: len(neighbours(target, 4.5).distances) // 64])
    for one in made:
        pairs = neighbours(one, 4.5)
        assert one.counts(2).tolist() == [one.n_atoms // 2] * 2
        assert np.allclose(np.sort(pairs.distances[pairs.first == 0]), wanted, atol=1e-9)


def test_pieces_at_a_surface_are_slabs_of_the_target() -> None:
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True) * (5, 5, 5)
    atoms.pbc = (True, True, False)
    atoms.center(8.0, axis=2)
    target = from_atoms(atoms, ("Fe",))
    made = pieces(target, ("Fe",), (4, 16), 2 / 2.87**3)
    slabs = [one for one in made if one.volume / one.n_atoms > 1.3 * 2.87**3 / 2]
    assert 0 < len(slabs) < len(made) == 12
    shell = {round(float(d), 6) for d in neighbours(target, 3.0).distances}
    for one in slabs:
        pairs = neighbours(one, 3.0)
        fewest = np.bincount(pairs.first, minlength=one.n_atoms).min()
        assert {round(float(d), 6) for d in pairs.distances} <= shell
        assert fewest < 14
