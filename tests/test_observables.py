"""What a person checks in a structure, its scatter, and the line that is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, mx2

from grs_evo.errors import InputError
from grs_evo.kernels.observables.cell_list import cell_list
from grs_evo.kernels.observables.pairs import count_pairs
from grs_evo.observables import (
    DIFFERS,
    STANDS,
    Observable,
    Row,
    all_observables,
    compare,
    describe_target,
    listing,
    observe,
    quality_of,
)
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import from_atoms

DATA = Path(__file__).parents[2] / "shared" / "data"


def strained(atoms: Atoms, volume: float) -> Atoms:
    result = atoms.copy()
    result.set_cell(result.cell * volume ** (1 / 3), scale_atoms=True)
    return result


def relabelled(atoms: Atoms, symbols: dict[str, str]) -> Atoms:
    result = atoms.copy()
    result.set_chemical_symbols([symbols.get(s, s) for s in atoms.get_chemical_symbols()])
    return result


def swapped(atoms: Atoms, first: int, second: int) -> Atoms:
    result = atoms.copy()
    result.numbers[[first, second]] = result.numbers[[second, first]]
    return result


def without(atoms: Atoms, index: int) -> Atoms:
    result = atoms.copy()
    del result[index]
    return result


def squeezed(atoms: Atoms, share: float) -> Atoms:
    """One atom moved towards its nearest to a share of their distance."""
    result = atoms.copy()
    away = result.get_distances(0, range(1, len(result)), mic=True)
    other = 1 + int(np.argmin(away))
    result.positions[0] += (1 - share) * result.get_distance(0, other, mic=True, vector=True)
    return result


def warm(atoms: Atoms, seed: int, amplitude: float = 0.09) -> Atoms:
    result = atoms.copy()
    result.positions += np.random.default_rng(seed).normal(0, amplitude, result.positions.shape)
    return result


def water(n: int, seed: int) -> Atoms:
    """Molecules in n³ places, turned by chance: no liquid, but whole molecules."""
    rng = np.random.default_rng(seed)
    molecule = np.array([[0, 0, 0], [0.957, 0, 0], [-0.24, 0.927, 0]])
    positions = []
    for place in np.ndindex(n, n, n):
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        positions.append((np.array(place) + 0.5) * 3.1 + rng.normal(0, 0.1, 3) + molecule @ turn)
    box = Atoms("OHH" * n**3, np.concatenate(positions), cell=[3.1 * n] * 3, pbc=True)
    box.positions += rng.normal(0, 0.01, box.positions.shape)
    box.wrap()
    return box


def alloy(size: int, seed: int) -> Atoms:
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True) * (size, size, size)
    symbols = ["Fe", "Cr"] * (len(atoms) // 2)
    atoms.set_chemical_symbols(list(np.random.default_rng(seed).permutation(symbols)))
    return atoms


L12 = bulk("Cu", a=3.75, cubic=True)
L12.symbols[0] = "Au"
COPPER = [warm(bulk("Cu", a=3.63, cubic=True) * (4, 4, 4), seed) for seed in range(2)]
WATER = [water(4, seed) for seed in range(2)]
SLAB = fcc111("Cu", (1, 1, 5), a=3.61, vacuum=8)
ALLOY = alloy(8, 0)
CUBE = bulk("Cu", a=3.63, cubic=True)

RIGHT = {
    "supercell": (L12 * (2, 2, 2), L12),
    "primitive cell": (L12, L12 * (2, 1, 1)),
    "another warm cell": (warm(CUBE * (3, 3, 3), 7), COPPER),
    "a small warm cell": (warm(CUBE * (2, 2, 2), 8), COPPER),
    "water": (water(3, 5), WATER),
    "slab": (SLAB * (2, 2, 1), SLAB),
    "random alloy": (alloy(4, 3), ALLOY),
    "small random alloy": (alloy(3, 4), ALLOY),
}
SPOILED = {
    "two atoms exchanged": (swapped(L12 * (2, 2, 2), 0, 1), L12, "Au-Au contacts"),
    "labels exchanged": (relabelled(L12, {"Au": "Cu", "Cu": "Au"}), L12, "Au-Au contacts"),
    "denser crystal": (strained(L12 * (2, 2, 2), 0.96), L12, "density"),
    "thinner warm crystal": (strained(warm(CUBE * (3, 3, 3), 7), 1.04), COPPER, "density is 3.8 % below"),
    "contact": (squeezed(warm(CUBE * (3, 3, 3), 7), 0.75), COPPER, "Cu-Cu contacts"),
    "bcc": (warm(bulk("Cu", "bcc", a=2.88, cubic=True) * (4, 4, 4), 7), COPPER, "Cu"),
    "vacancy": (without(L12 * (2, 2, 2), 3), L12, "Cu"),
    "half a molecule": (without(water(3, 5), 1), WATER, "molecules are not whole: 1 "),
    "thinner water": (strained(water(3, 5), 1.04), WATER, "density"),
    "filled slab": (bulk("Cu", a=3.61) * (2, 2, 2), SLAB, "the structure is bulk, the target a slab"),
    "layer missing": (fcc111("Cu", (2, 2, 4), a=3.61, vacuum=8), SLAB, "density per area"),
    "ordered alloy": (bulk("FeCr", "cesiumchloride", a=2.87) * (3, 3, 3), ALLOY, "Cr"),
}


class TestCounts:
    @pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False), (False, False, False)])
    def test_pairs_are_those_of_the_plain_search(self, pbc: tuple[bool, bool, bool]) -> None:
        rng = np.random.default_rng(0)
        for n, edge in ((1, 2.0), (7, 4.0), (300, 14.0)):
            cell = np.eye(3) * edge + rng.normal(0, 0.2 * edge, (3, 3)) * 0.5
            atoms = Atoms(rng.choice(["Cu", "Zr"], n), rng.normal(0, edge, (n, 3)), cell=cell, pbc=pbc)
            s = from_atoms(atoms, ("Cu", "Zr"))
            found = count_pairs(cell_list(s.positions, s.cell, s.species, s.pbc, 5.0), 2, 50)
            known = neighbours(s, 5.0)
            for a, b in np.ndindex(2, 2):
                own = (s.species[known.first] == a) & (s.species[known.second] == b)
                expected = np.histogram(known.distances[own], bins=50, range=(0, 5.0))[0]
                np.testing.assert_array_equal(found.histogram[a, b], expected)

    def test_values_of_a_crystal(self) -> None:
        found = observe(L12)
        assert found["coordination"]["Au-Cu"] == {"mean": 12.0, "distribution": {"12": 1.0}}
        assert found["contacts"]["Cu-Cu"]["shortest"] == pytest.approx(3.75 / np.sqrt(2), abs=1e-5)
        assert found["first peak"]["Cu-Cu"]["place"] == pytest.approx(2.65, abs=0.03)
        assert found["density"]["g/cm3"] == pytest.approx(12.2, abs=0.1)
        assert found["space group"]["space_group"] == "Pm-3m (221)"
        assert found["short-range order"]["Cu-Au"][0] == pytest.approx(-1 / 3, abs=1e-6)
        json.dumps(found)

    def test_the_same_whatever_cell_it_is_given_in(self) -> None:
        one, eight = observe(L12), observe(L12 * (2, 2, 2))
        np.testing.assert_allclose(one["pair distribution"]["Cu-Cu"], eight["pair distribution"]["Cu-Cu"])
        np.testing.assert_allclose(one["angles"]["Cu-Cu-Cu"]["mean"], eight["angles"]["Cu-Cu-Cu"]["mean"])

    def test_g_of_an_ideal_gas_is_one(self) -> None:
        rng = np.random.default_rng(1)
        gas = Atoms("Ar4000", rng.random((4000, 3)) * 40, cell=[40] * 3, pbc=True)
        g = np.array(observe(gas, reach=6.0)["pair distribution"]["Ar-Ar"])
        assert abs(g[40:110].mean() - 1) < 0.02


class TestJudgement:
    @pytest.mark.parametrize("name", RIGHT)
    def test_right(self, name: str) -> None:
        found = quality_of(*RIGHT[name])
        assert found.good, found.line
        assert found.reasons == ()

    @pytest.mark.parametrize("name", SPOILED)
    def test_spoiled(self, name: str) -> None:
        structure, target, reason = SPOILED[name]
        found = quality_of(structure, target)
        assert found.grade == DIFFERS
        assert reason in found.line
        assert 1 <= len(found.reasons) <= 3
        assert found.line.startswith("differs: ")

    def test_exact_crystal_stands_for_itself(self) -> None:
        found = quality_of(L12 * (2, 2, 2), L12)
        assert found.line == STANDS
        assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["grade"] == STANDS

    def test_one_atom_off_the_sites_of_a_crystal_is_seen(self) -> None:
        # along a diagonal in the plane of two bonds: the nearest atoms stay as near to within a few hundredths of Å
        moved = L12 * (4, 4, 4)
        moved.positions[77] += [0.0, 0.0, 0.1]
        found = quality_of(moved, L12)
        assert found.grade == DIFFERS
        odd = next(row for row in found.rows if row.quantity == "share of other distances")
        assert 0.5 / 256 < odd.value < 2 / 256  # most of its distances, each from both ends
        wide = L12 * (3, 3, 3)
        wide.set_cell(wide.cell * 1.002, scale_atoms=True)
        row = next(r for r in quality_of(wide, L12).rows if r.quantity == "share of other distances")
        assert row.value == 0.0

    def test_sets_are_judged_as_sets(self) -> None:
        target = describe_target(COPPER)
        assert compare([warm(CUBE * (2, 2, 2), k) for k in range(4)], target).good
        assert not compare([strained(warm(CUBE * (2, 2, 2), k), 1.04) for k in range(4)], target).good

    def test_the_same_seed_gives_the_same_numbers(self) -> None:
        target = describe_target(COPPER)
        cell = warm(CUBE * (2, 2, 2), 8)
        assert compare(cell, target).to_dict() == compare(cell, target).to_dict()


class TestBadInput:
    def test_torn_target_is_told_where(self) -> None:
        target = warm(CUBE * (4, 4, 14), 1)
        target.cell[2, 2] -= 1.1
        notes = describe_target(target).notes
        assert len(notes) == 1
        assert "where the cell is joined along c" in notes[0]

    def test_isolated_atoms(self) -> None:
        gas = Atoms("Ar8", bulk("Ar", "sc", a=30.0).repeat(2).positions, cell=[60] * 3, pbc=True)
        target = describe_target(gas)
        assert "no two atoms are within" in target.notes[0]
        assert compare(gas, target).good
        assert not compare(Atoms("Ar2", [[0, 0, 0], [1, 0, 0]], cell=[30] * 3, pbc=True), target).good

    def test_single_atom_without_cell(self) -> None:
        assert quality_of(Atoms("Cu"), Atoms("Cu")).good

    def test_partial_pbc(self) -> None:
        slab = SLAB * (3, 3, 1)
        assert list(slab.pbc) == [True, True, False]
        assert observe(slab)["periodicity"]["kind"] == ["a slab"]
        closed = slab.copy()
        closed.pbc = True
        assert quality_of(closed, slab).line == STANDS

    def test_molecules_over_the_boundary_are_whole(self) -> None:
        assert observe(WATER[0])["molecules"]["groups"] == {"H2O": 64}

    def test_broken_molecules_of_the_target_are_told(self) -> None:
        torn = WATER[0].copy()
        torn.positions[1] = torn.positions[0] + 1.4 * (torn.get_distance(0, 1, mic=True, vector=True) / 0.957)
        assert describe_target(torn).notes == ("target: besides whole molecules (H2O) it holds 1 H, 1 HO",)

    def test_foreign_element_is_refused(self) -> None:
        with pytest.raises(InputError, match="Ag"):
            quality_of(Atoms("Ag", cell=[4] * 3, pbc=True), L12)

    def test_no_structures_is_refused(self) -> None:
        with pytest.raises(InputError, match="no structure"):
            describe_target([], ["Cu"])
        with pytest.raises(InputError, match="elements"):
            observe(from_atoms(L12, ("Cu", "Au")))

    def test_element_that_the_target_lacks(self) -> None:
        found = quality_of(L12, CUBE, ["Cu", "Au"])
        assert "25.0 % of the atoms are Au" in found.line


class TestRecords:
    def test_each_has_a_meaning(self) -> None:
        known = all_observables()
        assert len(known) == 12
        assert all(entry["meaning"] for entry in listing())

    def test_one_from_outside_is_measured_and_judged(self) -> None:
        def compared(found: object, comparison: object) -> list[Row]:
            return [extra.row("", "edge", 2.0, 1.0, 0.1, 4.0, "edge is 2 Å, the target's 1")]

        extra = Observable("edge", "length of the first edge", "Å", lambda found: {"edge": 2.0}, compared)
        assert observe(L12, extra=[extra])["edge"] == {"edge": 2.0}
        found = quality_of(L12, L12, extra=[extra])
        assert found.reasons == ("edge is 2 Å, the target's 1",)
        assert listing([extra])[-1]["name"] == "edge"
        with pytest.raises(InputError, match="two of the name"):
            observe(L12, extra=[extra, extra])


_CUBIC_PEROVSKITE = Atoms(
    "SrTiO3",
    scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
    cell=[4.0] * 3,
    pbc=True,
)


@pytest.mark.parametrize(
    "crystal",
    [
        pytest.param(bulk("Al", "fcc", a=4.0, cubic=True), id="fcc"),
        pytest.param(bulk("NaCl", "rocksalt", a=5.6, cubic=True), id="rocksalt"),
        pytest.param(_CUBIC_PEROVSKITE, id="perovskite"),  # one of its distances is the reach, 6 Å
        pytest.param(mx2("MoS2", vacuum=8.0), id="layer"),
    ],
)
@pytest.mark.parametrize("displaced", [1e-6, 1e-3])
def test_rounding_does_not_spoil_a_crystal(crystal: Atoms, displaced: float) -> None:
    """Distances and angles of ideal crystals lie on round numbers, where bins like to end."""
    crystal = crystal.copy()
    crystal.pbc = (True, True, crystal.cell.rank == 3 and crystal.pbc[2])
    depth = 2 if crystal.pbc[2] else 1
    other = crystal * (3, 2, depth)
    other.positions += displaced * np.random.default_rng(3).normal(size=other.positions.shape)
    found = quality_of([other], [crystal * (2, 2, depth)])
    assert found.grade == "stands for the target"
    assert max(row.excess for row in found.rows if np.isfinite(row.limit)) < 0.25


def test_two_ions_exchanged_in_a_hot_salt() -> None:
    """No contact need be too short and no mean changes, but one atom has the wrong neighbours."""
    salt = bulk("NaCl", "rocksalt", a=5.8, cubic=True) * (3, 3, 3)
    target = describe_target([warm(salt, seed, 0.3) for seed in range(3)])
    for seed in range(10, 14):
        assert compare(warm(salt, seed, 0.3), target).good
        wrong = compare(swapped(warm(salt, seed, 0.3), 0, 1), target)
        odd = {(row.observable, row.quantity) for row in wrong.rows if row.excess > 1}
        assert {observable for observable, _ in odd} & {"contacts", "coordination"}


@pytest.mark.skipif(not DATA.exists(), reason="the targets of the issue are not on this machine")
class TestTargets:
    def test_torn_glass(self) -> None:
        notes = describe_target(DATA / "ni62nb38_glass.extxyz.gz").notes
        assert len(notes) == 1
        assert "all where the cell is joined along c" in notes[0]

    def test_spoiled_silica(self) -> None:
        from ase.io import read

        silica = read(DATA / "sio2_disordered_192.extxyz")
        target = describe_target(silica)
        assert compare(silica, target).good
        oxygen = int(np.flatnonzero(silica.numbers == 8)[3])
        assert not compare(without(silica, oxygen), target).good
        assert not compare(strained(silica, 1.04), target).good
