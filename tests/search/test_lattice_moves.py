"""Moves of a lattice: flips, swaps, exchanges of orbits; displacements; nothing to search is an error."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from test_loss_lattice import objective

from grs_evo.errors import InputError
from grs_evo.kernels.lattice.chains import N_ELITE
from grs_evo.loss.lattice import make_lattice_objective
from grs_evo.search.operators.lattice_moves import make_moves, symmetric_moves
from grs_evo.search.options import WalkOptions
from grs_evo.search.strategies.lattice_chain import advance_chain, chain_options, new_chain
from grs_evo.structures.composition import Composition, free
from grs_evo.structures.structure import from_atoms
from grs_evo.structures.symmetry import n_displacements
from search.lattice_cases import ordering, rules, ternary


def test_exchanges_of_orbits_keep_the_symmetry_and_the_composition():
    lattice, rule = ordering(), Composition("counts", np.array([8.0, 24.0]), np.array([8.0, 24.0]))
    rng = np.random.default_rng(1)
    few = 0
    for _ in range(6):
        moves = symmetric_moves(rng, lattice, rule)
        options = chain_options("annealing", WalkOptions(several=0.2))
        chain, _ = advance_chain(new_chain(moves, options), lattice, moves, options, rng, 60)
        n = int(chain.ints[N_ELITE])
        for occupation, value in zip(chain.elite[:n], chain.elite_values[:n], strict=True):
            orbits = [row[1 : 1 + row[0]] for row in moves.orbits]
            assert sorted(np.concatenate(orbits).tolist()) == list(range(32))
            assert all(len(np.unique(occupation[orbit])) == 1 for orbit in orbits)
            assert np.bincount(occupation).tolist() == [8, 24]
            assert value == pytest.approx(lattice.values(occupation)[0], rel=1e-9, abs=1e-12)
            counted = n_displacements(lattice.structure(occupation))
            assert counted <= 3 * len(orbits)
            few += counted < 48
    assert few


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (bulk("Cu"), 1),
        (bulk("NaCl", "rocksalt", a=5.6), 2),
        (bulk("Cu", cubic=True) * 2, 1),
        # an atom on a mirror plane moves in it and across it; one on no element of symmetry three ways
        (Atoms("HOF", [[0, 0, 0], [1.5, 0.4, 0], [0.3, 1.7, 0]], cell=np.diag([4.0, 4.5, 5.0]), pbc=True), 6),
        (Atoms("HOF", [[0, 0, 0], [1.5, 0.4, 0.9], [0.3, 1.7, 2]], cell=np.diag([4, 4.5, 5]), pbc=True), 9),
        (Atoms("HO", [[0, 0, 0], [1.5, 0.4, 0]]), 6),
    ],
)
def test_displacements_that_phonons_need(atoms, expected):
    elements = tuple(dict.fromkeys(atoms.get_chemical_symbols()))
    assert n_displacements(from_atoms(atoms, elements)) == expected


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
