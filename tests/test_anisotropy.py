"""Cells stretched along one direction at constant volume: what distances and angles alone do not show."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from scipy.spatial.transform import Rotation

from grs_evo.observables import Quality, Row, compare, describe_target, quality_of

STRAIN = "bond lengths by direction"


def packing(n: int, seed: int, crowded: float = 0.68) -> Atoms:
    """Spheres of two sizes, pushed apart from random places: a glass; less crowded a melt."""
    rng = np.random.default_rng(seed)
    kinds = np.arange(n) % 2
    sizes = np.array([2.5, 2.9])
    edge = (n * float((sizes**3).mean()) * np.pi / 6 / crowded) ** (1 / 3)
    least = 0.5 * (sizes[kinds][:, None] + sizes[kinds])
    places = rng.random((n, 3)) * edge
    for _ in range(150):
        gaps = places[:, None] - places
        gaps -= edge * np.round(gaps / edge)
        away = np.sqrt((gaps**2).sum(axis=-1)) + 1e3 * np.eye(n)
        places += 0.25 * ((np.maximum(0.0, least - away) / away)[..., None] * gaps).sum(axis=1)
    return Atoms(np.array(["Cu", "Zr"])[kinds], places, cell=[edge] * 3, pbc=True)


def network(repeats: tuple[int, int, int], seed: int) -> Atoms:
    """Silica: silicon as in diamond, each oxygen beside the middle of a bond, to any side."""
    rng = np.random.default_rng(seed)
    silicon = bulk("Si", "diamond", a=7.16, cubic=True) * repeats
    silicon.positions += rng.normal(0, 0.1, (len(silicon), 3))
    gaps = silicon.get_all_distances(mic=True, vector=True)
    found = np.argwhere(np.triu(np.linalg.norm(gaps, axis=2) < 3.8, 1))
    sideways = np.cross(rng.normal(size=(len(found), 3)), gaps[tuple(found.T)])
    sideways *= 0.45 / np.linalg.norm(sideways, axis=1)[:, None]
    oxygen = silicon.positions[found[:, 0]] + 0.5 * gaps[tuple(found.T)] + sideways
    return silicon + Atoms(f"O{len(oxygen)}", oxygen)


def warm(atoms: Atoms, seed: int) -> Atoms:
    result = atoms.copy()
    result.positions += np.random.default_rng(seed).normal(0, 0.07, result.positions.shape)
    return result


def deformed(atoms: Atoms, tensor: np.ndarray) -> Atoms:
    result = atoms.copy()
    result.set_cell(atoms.cell.array @ tensor, scale_atoms=True)
    return result


def turned(atoms: Atoms, seed: int) -> Atoms:
    return deformed(atoms, Rotation.random(random_state=seed).as_matrix())


ALONG = np.diag([1.06, 1 / 1.06, 1.0])
SALT, HCP = bulk("NaCl", "rocksalt", a=5.64, cubic=True), bulk("Zn", "hcp", a=2.66, c=4.95)
SLAB = fcc111("Cu", (1, 1, 5), a=3.61, vacuum=8)
# a target and a good cell of each kind
BED = {
    "crystal": ([warm(SALT * (3, 3, 3), 0)], warm(SALT * (2, 2, 2), 1)),
    "hcp": ([turned(warm(HCP * (4, 4, 3), k), k) for k in range(3)], warm(HCP * (3, 3, 2), 5)),
    "glass": ([packing(300, 1)], packing(60, 2)),
    "melt": ([packing(300, 1, 0.5)], packing(60, 2, 0.5)),
    "network": ([network((2, 2, 2), 1)], network((1, 1, 1), 2)),
    "slab": ([warm(SLAB * (5, 5, 1), 0)], warm(SLAB * (3, 2, 1), 1)),
}


def rows_of(found: Quality) -> list[Row]:
    return [row for row in found.rows if row.observable == "anisotropy"]


@pytest.mark.parametrize("kind", BED)
def test_a_stretched_cell_differs_by_its_directions_and_a_good_one_does_not(kind: str) -> None:
    known, good = BED[kind]
    target = describe_target(known)
    for cell in (good, turned(good, 7) if kind != "slab" else good):
        assert max(row.excess for row in rows_of(compare(cell, target))) < 0.6
    stretched = compare(deformed(good, ALONG), target)
    worst = max(rows_of(stretched), key=lambda row: row.excess)
    assert worst.excess > 1.0
    assert "% " in worst.words
    assert "in the target" in worst.words
    assert not stretched.good


def test_the_first_shell_of_a_cubic_crystal_tells_the_strain_exactly() -> None:
    strained = quality_of(deformed(SALT * (2, 2, 2), ALONG), SALT)
    told = {row.subject: row for row in rows_of(strained)}
    assert told["Na-Cl"].value == pytest.approx(100 * (1.06 - 1 / 1.06), abs=0.3)
    assert told["Na-Cl"].target == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("crowded", [0.68, 0.5])
def test_the_strain_of_a_glass_and_a_melt_is_what_was_done_to_them(crowded: float) -> None:
    atoms = packing(300, 1, crowded)
    target = describe_target(atoms)
    for tensor in (np.diag([1.03, 1 / 1.03, 1.0]), np.array([[1.0, 0.06, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])):
        row = next(row for row in rows_of(compare(deformed(atoms, tensor), target)) if row.quantity == STRAIN)
        lengths = np.linalg.svd(tensor, compute_uv=False)
        assert row.value == pytest.approx(100 * (lengths.max() - lengths.min()), abs=2.0)


def test_sets_are_judged_structure_by_structure() -> None:
    """Stretched along different directions, cells make up for each other in the mean over all atoms."""
    target = describe_target([warm(SALT * (3, 3, 3), 0)])
    cells = [warm(SALT * (2, 2, 2), k) for k in range(3)]
    orders = ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    spoiled = [deformed(cell, np.diag(np.diag(ALONG)[list(order)])) for cell, order in zip(cells, orders, strict=True)]
    assert max(row.excess for row in rows_of(compare(cells, target))) < 0.6
    assert max(row.excess for row in rows_of(compare(spoiled, target))) > 1.0


def test_a_single_atom_and_a_pair_have_no_directions_to_compare() -> None:
    alone = Atoms("Ar", cell=[30.0] * 3, pbc=True)
    assert rows_of(quality_of(alone, alone)) == []
    dimers = Atoms("N2", [[0, 0, 0], [1.1, 0, 0]], cell=[20.0] * 3, pbc=True)
    assert all(np.isfinite(row.deviation) for row in rows_of(quality_of(turned(dimers, 2), dimers)))
