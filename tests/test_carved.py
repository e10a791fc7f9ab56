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
