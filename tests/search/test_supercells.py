"""Supercells are all there, each once, and hold their parent and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.errors import InputError
from grs_evo.kernels.geometry.hermite import image_codes
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.lattices import supercells as supercells_module
from grs_evo.search.candidates.lattices.parents import PARENTS, parent_cell
from grs_evo.search.candidates.lattices.supercells import (
    build,
    distinct_forms,
    heights,
    hermite_forms,
    most_symmetric,
    number_of_forms,
    reduced,
    supercells,
)
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.structures.clusters import elongation
from grs_evo.structures.symmetry import rotations
from search.candidate_cases import ALLOY


def test_counts_of_hermite_forms_and_distinct_supercells():
    """Hart and Forcade, Phys. Rev. B 77, 224115 (2008), table IV, and OEIS A001001, A003051, A045790 …"""
    assert [len(hermite_forms(n)) for n in range(1, 13)] == [1, 7, 13, 35, 31, 91, 57, 155, 130, 217, 133, 455]
    expected = {
        "fcc": [1, 2, 3, 7, 5, 10, 7, 20, 14, 18],
        "bcc": [1, 2, 3, 7, 5, 10, 7, 20, 14, 18],
        "sc": [1, 3, 3, 9, 5, 13, 7, 24, 14, 23],
        "hcp": [1, 3, 5, 11, 7, 19, 11, 34, 23, 33],
        "diamond": [1, 2, 3, 7, 5, 10, 7, 20, 14, 18],
    }
    for name in PARENTS:
        operations = rotations(*parent_cell(name, 4.0, cubic=False))
        assert [len(distinct_forms(n, operations)) for n in range(1, 11)] == expected[name], name


def test_forms_are_counted_without_making_them():
    assert [number_of_forms(n) for n in range(1, 25)] == [len(hermite_forms(n)) for n in range(1, 25)]


def test_too_many_supercells_are_refused_before_one_is_made(monkeypatch):
    def made(volume):
        raise AssertionError(f"forms of volume {volume} were made")

    monkeypatch.setattr(supercells_module, "hermite_forms", made)
    with pytest.raises(InputError, match=r"^candidates\.sizes: are 1 to 200 atoms, .* take a narrower range$"):
        bind(CandidateOptions(kind="supercells", lattice="fcc", a=4.0, sizes=(1, 200), composition="free"), ALLOY)


def test_classes_of_large_supercells():
    """Every form is an image of exactly one of those that are kept."""
    operations = rotations(*parent_cell("fcc", 4.0, cubic=False))
    forms = distinct_forms(36, operations)
    codes = {tuple(one.ravel()) for one in forms}
    assert len(codes) == len(forms)
    images = image_codes(forms, operations, 36)
    assert all(not set(images[i]) & set(images[j]) for i in range(len(forms)) for j in range(i))
    assert len(np.unique(images)) == number_of_forms(36)


def test_supercells_hold_the_parent_and_nothing_else():
    cell, sites = parent_cell("hcp", 3.2)
    for one in supercells(cell, sites, (2, 12)):
        assert one.volume == pytest.approx(abs(np.linalg.det(cell)) / 2 * one.n_atoms)
        # Every atom is on a parent site of its own index modulo 2.
        fractional = one.positions @ np.linalg.inv(cell) - sites[np.arange(one.n_atoms) % 2]
        assert np.allclose(fractional, np.rint(fractional), atol=1e-9)
        own = one.positions @ np.linalg.inv(one.cell)
        delta = own[:, None] - own[None]
        delta -= np.rint(delta)
        assert (np.linalg.norm(delta @ one.cell, axis=2) + 9 * np.eye(one.n_atoms)).min() > 3.0
    tall = supercells(*parent_cell("fcc", 4.0, cubic=False), (8, 8), min_height=4.0)
    assert 0 < len(tall) < 20
    assert all(heights(one.cell).min() >= 4.0 - 1e-9 for one in tall)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=9, max_size=9))
def test_reduction_keeps_the_lattice(entries):
    matrix = np.array(entries, float).reshape(3, 3) + 6 * np.eye(3)
    if abs(np.linalg.det(matrix)) < 1:
        return
    compact, m = reduced(matrix)
    assert abs(round(np.linalg.det(m))) == 1
    assert np.allclose(m @ matrix, compact)
    assert (compact**2).sum() <= (matrix**2).sum() + 1e-9


def test_the_most_symmetric_supercells_come_first():
    cell, sites = parent_cell("fcc", 4.0, cubic=False)
    operations = rotations(cell, sites)
    forms = most_symmetric(cell, 32, 500, operations)
    assert len(forms) == len(distinct_forms(32, operations))
    # of the 32 sites of a cube no operation is lost
    assert np.linalg.norm(reduced(forms[0] @ cell)[0], axis=1) == pytest.approx([8.0, 8.0, 8.0])
    assert np.array_equal(most_symmetric(cell, 32, 5, operations), forms[:5])
    with pytest.raises(InputError, match="supercells of 400 cells before symmetry; at most"):
        most_symmetric(cell, 400, 1, operations)


@pytest.mark.parametrize(
    ("lattice", "repeat", "expected"),
    [("fcc", (3, 3, 3), 1.0), ("sc", (2, 2, 2), 2 ** (1 / 6)), ("sc", (1, 1, 4), 1.78)],
)
def test_elongation_is_one_for_the_most_compact_cell_and_grows(lattice, repeat, expected):
    cell, sites = parent_cell(lattice, 4.0, cubic=False)
    one = build(cell, sites, np.diag(np.array(repeat)))
    assert elongation(one) == pytest.approx(expected, abs=1e-2)
    assert elongation(one.replace(pbc=np.array([True, True, False]))) == 1.0
