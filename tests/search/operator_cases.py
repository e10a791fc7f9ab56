"""Sources of candidates of several kinds, and parents drawn from them, for the tests of operators."""

from __future__ import annotations

import numpy as np
from hypothesis import assume

from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, Source, candidate
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.table import operators
from grs_evo.structures.structure import Structure

ALLOY = ("Au", "Cu", "Ni")
OPTIONS = OperatorOptions()
OPERATORS = [one.name for one in operators()]
CHEMICAL = [one.name for one in operators() if one.kind == "chemical"]
ACTS = {one.name: one.act for one in operators() if one.act is not None}
RULES = {
    "free": {"composition": "free"},
    "limits": {"limits": {"Au": (0.1, 0.6), "Cu": (0.1, 0.6)}},
    "fractions": {"fractions": {"Au": 0.25, "Cu": 0.25, "Ni": 0.5}},
}


def source_of(kind: str, rule: str) -> Source:
    if kind == "lattice":
        return bind(CandidateOptions(lattice="fcc", a=3.8, repeat=(2, 2, 1), **RULES[rule]), ALLOY)
    if kind == "sublattice":
        sites = (("Au", "Cu"), ("Au", "Cu", "Ni"), ("Cu", "Ni"), ("Au", "Cu", "Ni"))
        return bind(
            CandidateOptions(lattice="fcc", a=3.8, repeat=(2, 2, 1), sites=sites, **RULES[rule]), ALLOY, spatial=True
        )
    sizes = (8, 24) if kind == "cells" else (16, 16)
    return bind(
        CandidateOptions(kind="random", sizes=sizes, number_density=0.06, min_distance=2.0, **RULES[rule]), ALLOY
    )


SOURCES = {(kind, rule): source_of(kind, rule) for kind in ("lattice", "sublattice", "cells", "size") for rule in RULES}


def parents_of(source: Source, seed: int) -> tuple[Structure, Structure]:
    rng = np.random.default_rng(seed)
    made = [candidate(rng, source) for _ in range(2)]
    assert all(one is not None for one in made)
    return made[0], made[1]


def assert_children_keep_the_limits(name: str, key: tuple[str, str], seed: int) -> tuple[Structure, Structure] | None:
    """Let an operator act on two candidates and check the child; it and its first parent, for what is its own promise.

    An operator that can act under the limits must make a child of most parents: examples without one are not counted,
    and hypothesis fails when there are too many of these. One that cannot may return None (then None is returned).
    """
    source = SOURCES[key]
    (operator,) = (one for one in operators() if one.name == name)
    parents = parents_of(source, seed)
    before = [(one.positions.copy(), one.species.copy(), one.cell.copy()) for one in parents]
    child = ACTS[name](np.random.default_rng(seed), parents, source.limits, OPTIONS)
    for one, (positions, species, cell) in zip(parents, before, strict=True):
        assert np.array_equal(one.positions, positions)
        assert np.array_equal(one.species, species)
        assert np.array_equal(one.cell, cell)
    if child is None:
        assume(operator.exclusion(source.limits) is not None)
        return None
    assert source.limits.violation(child) is None
    if name in CHEMICAL:
        assert np.array_equal(child.positions, parents[0].positions)
        assert np.array_equal(child.cell, parents[0].cell)
        assert not np.array_equal(child.species, parents[0].species)
    if source.limits.composition.fixed:
        assert np.array_equal(child.counts(3), source.limits.composition.bounds(child.n_atoms)[0])
    return child, parents[0]


def assert_nearly_always_succeeds(name: str, kind: str, least: float) -> None:
    """An operator that mostly fails would starve the search: repair, do not reject."""
    for rule in ("free", "fractions"):
        source = SOURCES[kind, rule]
        (operator,) = (one for one in operators() if one.name == name)
        if operator.exclusion(source.limits) is not None:
            continue
        made = [ACTS[name](np.random.default_rng(k), parents_of(source, k), source.limits, OPTIONS) for k in range(30)]
        assert sum(one is not None for one in made) >= least * 30, (name, kind, rule)
