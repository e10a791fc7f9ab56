"""Moves of a lattice: nothing to search is an error."""

from __future__ import annotations

import numpy as np
import pytest
from test_loss_lattice import objective

from grs_evo.errors import InputError
from grs_evo.loss.lattice import make_lattice_objective
from grs_evo.search.operators.lattice_moves import make_moves
from grs_evo.structures.composition import Composition, free
from search.lattice_cases import rules, ternary


def test_nothing_to_search_is_an_error():
    lattice = ternary("free")
    pinned = np.zeros((36, 3), bool)
    pinned[:, 1] = True
    stuck = make_lattice_objective(objective("three elements", variance=0.0), lattice.template, pinned)
    with pytest.raises(InputError, match="nothing to search"):
        make_moves(stuck, free(3))
    with pytest.raises(InputError, match="no occupation"):
        make_moves(stuck, Composition("counts", np.array([1.0, 35.0, 0.0]), np.array([1.0, 35.0, 0.0])))


@pytest.mark.parametrize("name", rules())
def test_all_flips_and_swaps_that_sites_and_rule_could_allow(name):
    rule, allowed = rules()[name]
    moves = make_moves(ternary(name), rule)
    table = {tuple(row) for row in moves.table.tolist()}
    assert len(table) == len(moves.table)
    choices = allowed.sum(axis=1)
    flips = {(0, i, shift) for i in range(36) if choices[i] > 1 for shift in (1, 2)}
    swaps = {(1, i, j) for i in range(36) for j in range(i + 1, 36) if (allowed[i] & allowed[j]).sum() > 1}
    expected = swaps if rule.fixed else flips if name == "free" else flips | swaps
    assert table == expected
