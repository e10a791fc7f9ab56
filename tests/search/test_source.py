"""Candidates keep their promises, whatever is asked; what cannot be is a counted failure."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from ase.build import bulk
from ase.geometry import get_distances
from ase.io import write

from grs_evo.errors import InputError
from grs_evo.search.candidates import source as source_module
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, candidate, strained
from grs_evo.structures.composition import (
    largest_remainder,
)
from grs_evo.structures.structure import from_atoms
from search.candidate_cases import ALLOY, draw, rng, shortest


@pytest.mark.parametrize("shape", ["cubic", "orthorhombic", "triclinic"])
def test_random_cells_keep_size_density_and_distances(shape):
    options = CandidateOptions(
        kind="random", sizes=(4, 30), number_density=0.05, density=(0.9, 1.1), min_distance=2.2, shape=shape,
        fractions={"Au": 0.25, "Cu": 0.75},
    )  # fmt: skip
    source = bind(options, ALLOY)
    sizes = set()
    for one in draw(source, 12):
        sizes.add(one.n_atoms)
        assert 0.045 <= one.n_atoms / one.volume <= 0.055
        assert shortest(one) >= 2.2
        assert np.array_equal(one.counts(2), largest_remainder(np.array([0.25, 0.75]), one.n_atoms))
    assert len(sizes) > 4


def count_sweeps(monkeypatch) -> list[int]:
    """A list to which every attempt to push atoms of a random cell apart adds its number of sweeps (-1: in vain)."""
    sweeps: list[int] = []
    push_apart = source_module.push_apart

    def counted(*arguments):
        result = push_apart(*arguments)
        sweeps.append(result[1])
        return result

    monkeypatch.setattr(source_module, "push_apart", counted)
    return sweeps


def test_liquid_density_is_packed_fast(monkeypatch):
    options = CandidateOptions(kind="random", sizes=(20, 72), number_density=0.0503, min_distance=2.5, shape="cubic")
    source = bind(options, ("Ta",))
    draw(source, 1)
    causes: Counter = Counter()
    sweeps = count_sweeps(monkeypatch)
    made = [candidate(rng(k), source, lambda cause: causes.update([cause])) for k in range(40)]
    assert all(one is not None for one in made)
    assert sum(causes.values()) <= 40
    assert len(sweeps) <= 80
    assert np.mean(sweeps) < 80


def test_what_cannot_be_packed_is_counted_or_refused(monkeypatch):
    with pytest.raises(InputError, match="random packing reaches"):
        bind(CandidateOptions(kind="random", sizes=(20, 20), number_density=0.05, min_distance=3.1), ("Ta",))
    # Just below what can be refused up front: nothing found, every try counted, and soon over.
    source = bind(CandidateOptions(kind="random", sizes=(30, 30), number_density=0.05, min_distance=2.95), ("Ta",))
    causes: Counter = Counter()
    sweeps = count_sweeps(monkeypatch)
    assert candidate(rng(), source, lambda cause: causes.update([cause])) is None
    assert sum(causes.values()) == 20
    assert set(causes) <= {"packing", "height"}
    assert len(sweeps) == causes["packing"] <= 20


def test_templates_are_kept_or_occupied_and_rattled(tmp_path):
    frames = [bulk("Cu", cubic=True), bulk("Au", cubic=True) * (2, 1, 1)]
    write(tmp_path / "templates.extxyz", frames)
    source = bind(CandidateOptions(kind="templates", file="templates.extxyz"), ALLOY, folder=tmp_path)
    assert {(one.n_atoms, *one.counts(2)) for one in draw(source, 10)} == {(4, 0, 4), (8, 8, 0)}
    options = CandidateOptions(
        kind="templates", file="templates.extxyz", fractions={"Au": 0.5, "Cu": 0.5}, rattle=0.05, rattled=0.5
    )
    source = bind(options, ALLOY, folder=tmp_path)
    moved = []
    for one in draw(source, 20):
        assert one.counts(2)[0] == one.n_atoms / 2
        ideal = frames[0] if one.n_atoms == 4 else frames[1]
        moved.append(float(np.abs(one.positions - ideal.positions).max()))
    assert 0 < sum(shift == 0.0 for shift in moved) < 20
    assert max(moved) < 0.3


def test_same_stream_same_candidate():
    source = bind(CandidateOptions(kind="random", sizes=(10, 20), number_density=0.05, composition="free"), ALLOY)
    a, b = candidate(rng(5), source), candidate(rng(5), source)
    assert np.array_equal(a.positions, b.positions)
    assert np.array_equal(a.species, b.species)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": {"Au": 1}, "fractions": {"Au": 1.0}}, "only one of"),
        ({"sizes": (5, 4)}, "smallest <= largest"),
        ({"repeat": (0, 1, 1)}, "repeat"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CandidateOptions(**options)


def test_distances_agree_with_ase():
    source = bind(CandidateOptions(kind="random", sizes=(12, 12), number_density=0.05), ("Ta",))
    one = draw(source, 1)[0]
    _, d = get_distances(one.positions, cell=one.cell, pbc=True)
    assert shortest(one) == pytest.approx(min(d[np.triu_indices(12, 1)].min(), np.linalg.norm(one.cell, axis=1).min()))


def test_strained_copies_keep_their_fractional_positions():
    slab = bulk("Cu", cubic=True) * (2, 1, 1)
    slab.pbc = (True, True, False)
    one = from_atoms(slab, ["Cu"])
    made = [strained(rng(k), one, 0.05) for k in range(200)]
    for each in made[:3]:
        assert np.allclose(each.positions @ np.linalg.inv(each.cell), one.positions @ np.linalg.inv(one.cell))
        assert np.array_equal(each.cell[2], one.cell[2])  # not periodic: not strained
    changes = np.array([np.linalg.inv(one.cell) @ each.cell - np.eye(3) for each in made])
    assert np.allclose(changes, changes.transpose(0, 2, 1))
    assert changes[:, 0, 0].std() == pytest.approx(0.05, rel=0.2)


def test_candidates_between_templates_take_the_shortest_way(tmp_path):
    first = bulk("Cu", cubic=True)
    second = first.copy()
    second.set_cell(first.cell[:] * 1.1, scale_atoms=True)
    second.positions[0] -= 0.2 * second.cell[0]  # across the boundary
    second.wrap()
    other = bulk("Cu", cubic=True) * (2, 1, 1)
    write(tmp_path / "given.extxyz", [first, second, other])
    options = CandidateOptions(kind="templates", file="given.extxyz", between=1.0, volume=(0.5, 2.0), min_distance=1.5)
    source = bind(options, ["Cu"], folder=tmp_path)
    assert not source.limits.lattice
    made = [one for one in draw(source, 60) if one.n_atoms == 4]
    shares = np.array([(one.cell[0, 0] / first.cell[0, 0] - 1.0) / 0.1 for one in made])
    assert 0.0 <= shares.min() < 0.2
    assert 0.8 < shares.max() <= 1.0
    for one, share in zip(made, shares, strict=True):
        moved = (one.positions[0] @ np.linalg.inv(one.cell))[0]
        assert abs((moved + 0.2 * share + 0.5) % 1.0 - 0.5) < 1e-9
    # the one of eight atoms has no partner and stays as it is
    assert all(np.allclose(one.cell, other.cell) for one in draw(source, 60) if one.n_atoms == 8)
