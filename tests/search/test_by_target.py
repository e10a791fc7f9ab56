"""What candidates are where the run file leaves it to the target: no occupation of a melt's sites, no exchange of
sublattices, no periodicity across vacuum."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, mx2

from grs_evo.errors import InputError
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.by_target import by_target
from grs_evo.search.candidates.source import CandidateOptions, Source
from grs_evo.structures.structure import Structure, from_atoms
from search.candidate_cases import draw

MOS2 = ("Mo", "S", "W")


def melt(n: int = 200, fractions: float = 0.5, pbc: bool = True) -> Structure:
    """Atoms anywhere in a box, Au and Cu."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(6)] * 3), -1).reshape(-1, 3)[:n]
    species = np.where(np.arange(n) < fractions * n, 0, 1).astype(np.int32)
    return Structure(
        3.0 * grid + 0.5 * rng.standard_normal((n, 3)), 18.0 * np.eye(3), species, np.array([True, True, pbc])
    )


def slab(repeat: tuple[int, int, int] = (1, 1, 1)) -> Atoms:
    atoms = mx2("MoS2", vacuum=8.0).repeat(repeat)
    atoms.pbc = (True, True, False)
    return atoms


def bound(elements: tuple[str, ...], *targets: Structure, **options: object) -> tuple[Source, str]:
    made, notes = by_target(CandidateOptions(**options), elements, targets)  # type: ignore[arg-type]
    return bind(made, elements, targets), "; ".join(notes)


def test_a_melt_gets_random_cells_of_sensible_size_at_its_density_and_composition() -> None:
    target = melt()
    source, notes = bound(("Au", "Cu"), target)
    assert source.options.kind == "random"
    assert source.sizes == (54,)
    assert "random cells of 54 atoms" in notes
    for one in draw(source):
        assert one.counts(2).tolist() == [27, 27]
        assert abs(one.n_atoms / one.volume * target.volume / target.n_atoms - 1) < 0.02
    # the size at which whole atoms come nearest to the fractions
    source, _ = bound(("Au", "Cu"), melt(fractions=0.7))
    assert source.sizes == (50,)
    # sizes alone mean these
    source, notes = bound(("Au", "Cu"), target, sizes=(20, 22))
    assert source.sizes == (20, 21, 22)
    assert "20 to 22 atoms" in notes


def test_what_says_that_candidates_sit_on_sites_counts() -> None:
    source, _ = bound(("Au", "Cu"), melt(), repeat=(1, 1, 1))
    assert source.templates[0].n_atoms == 200
    source, notes = bound(("Au", "Cu"), melt(), lattice="fcc")
    assert source.templates[0].n_atoms == 32
    assert notes == ""


def test_a_melt_with_vacuum_is_refused_in_a_line() -> None:
    with pytest.raises(InputError, match=r"candidates\.kind: .*vacuum.*templates.*number_density") as caught:
        by_target(CandidateOptions(), ("Au", "Cu"), [melt(pbc=False)])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "atoms", [bulk("Cu", cubic=True), bulk("NaCl", "rocksalt", a=5.6), bulk("CuAu", "zincblende", a=5.0)]
)
def test_crystals_of_one_kind_of_site_stay_as_they_were(atoms: Atoms) -> None:
    elements = tuple(sorted(set(atoms.get_chemical_symbols())))
    options = CandidateOptions()
    assert by_target(options, elements, [from_atoms(atoms, elements)]) == (options, ())


def test_a_slab_keeps_sublattices_pbc_and_vacuum() -> None:
    for repeat in ((1, 1, 1), (3, 3, 1)):
        target = slab(repeat)
        source, notes = bound(MOS2, from_atoms(target, MOS2))
        one = draw(source, 1)[0]
        assert one.n_atoms == 12
        assert one.pbc.tolist() == [True, True, False]
        assert np.allclose(one.cell[2], target.cell[2])
        metal = abs(one.positions[:, 2] - target.positions[0, 2]) < 0.1
        assert (one.species[metal] == 0).all()
        assert (one.species[~metal] == 1).all()
        assert "1 of Mo, 2 of S" in notes
        assert "vacuum" in notes
    # two metals share their sites, and never go to those of sulphur
    target = slab((4, 4, 1))
    metals = [k for k, symbol in enumerate(target.get_chemical_symbols()) if symbol == "Mo"]
    target.symbols[metals[::3]] = "W"
    source, _ = bound(MOS2, from_atoms(target, MOS2), repeat=(4, 4, 1))
    for one in draw(source):
        assert sorted({tuple(np.unique(one.species[k::3])) for k in range(3)}) == [(0, 2), (1,)]


def test_a_repetition_across_the_vacuum_is_refused() -> None:
    with pytest.raises(InputError, match=r"candidates\.repeat: is \[2, 2, 2\], .*vacuum"):
        bound(MOS2, from_atoms(slab(), MOS2), repeat=(2, 2, 2))


def test_a_compound_crystal_keeps_what_sits_where_in_any_cell() -> None:
    rutile = Atoms(
        "Ti2O4",
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.3, 0.3, 0], [0.7, 0.7, 0], [0.8, 0.2, 0.5], [0.2, 0.8, 0.5]],
        cell=[4.6, 4.6, 2.95],
        pbc=True,
    )
    other = make_supercell(rutile, [[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    other.positions += 0.37
    elements = ("O", "Ti")
    source, _ = bound(elements, from_atoms(rutile, elements), from_atoms(other[::-1], elements))
    assert source.max_structures == 1
    one = draw(source, 1)[0]
    distances = Atoms(positions=one.positions, cell=one.cell, pbc=True).get_all_distances(mic=True)
    titanium = one.species == 1
    assert ((distances[titanium][:, ~titanium] < 2.1).sum(1) == 6).all()
    # sites that are given count
    free, _ = bound(elements, from_atoms(rutile, elements), sites=(("O", "Ti"),) * 6)
    assert free.max_structures > 1000


def test_structures_on_different_lattices_do_not_tell_what_sits_where() -> None:
    elements = ("Mo", "S")
    layer = from_atoms(slab(), elements)
    bulk_ = from_atoms(bulk("MoS", "rocksalt", a=5.0), elements)
    with pytest.raises(InputError, match=r"candidates\.sites: the target's structures do not lie on one lattice"):
        by_target(CandidateOptions(), elements, [layer, bulk_])


def test_a_large_disordered_target_is_told_by_its_distances() -> None:
    """Symmetry of many atoms takes minutes to look for, and displaced atoms have none."""
    atoms = bulk("Cu", cubic=True, a=3.6) * (10, 10, 10)
    crystal = from_atoms(atoms, ("Cu",))
    atoms.positions += np.random.default_rng(0).normal(0, 0.2, (len(atoms), 3))
    found, notes = by_target(CandidateOptions(), ("Cu",), [from_atoms(atoms, ("Cu",))])
    assert found.kind == "random"
    assert "4,000 atoms stand on no sites" in notes[0]
    assert by_target(CandidateOptions(), ("Cu",), [crystal])[0].kind == "lattice"
