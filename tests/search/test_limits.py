"""Limits: what is refused, and fixed sites that stay whatever acts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.driver.config.run_file import read
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, Source, candidate
from grs_evo.search.island import advance, start
from grs_evo.structures.structure import Structure, to_atoms
from search.operator_cases import (
    ACTS,
    ALLOY,
    OPTIONS,
    RULES,
    SOURCES,
    parents_of,
)


@pytest.fixture(scope="module")
def slabs(tmp_path_factory) -> dict[tuple[str, str], Source]:
    """Cells with fixed atoms: some whose size is free, a slab that keeps its elements, a lattice."""
    folder = tmp_path_factory.mktemp("slabs")
    cell = candidate(np.random.default_rng(3), SOURCES["size", "fractions"])
    slab = parents_of(SOURCES["lattice", "free"], 4)[0].replace(pbc=np.array([True, True, False]))
    for name, one in (("cell", cell), ("slab", slab)):
        to_atoms(one, ALLOY).write(folder / f"{name}.extxyz")
    common = {"kind": "templates", "fixed": (1, 4, 7), "rattle": 0.1, "min_distance": 1.5}
    cases = {
        ("cells", "free"): CandidateOptions(file="cell.extxyz", sizes=(9, 20), composition="free", **common),
        ("cells", "keep"): CandidateOptions(file="cell.extxyz", sizes=(9, 20), **common),
        ("cells", "fractions"): CandidateOptions(file="cell.extxyz", sizes=(9, 20), **common, **RULES["fractions"]),
        ("slab", "keep"): CandidateOptions(file="slab.extxyz", **common),
        ("lattice", "pinned"): CandidateOptions(
            lattice="fcc", a=3.8, repeat=(2, 2, 1), composition="free", fixed=(1, 4, 7), pinned={"4": "Ni"}
        ),
    }
    return {key: bind(options, ALLOY, folder=folder, spatial=True) for key, options in cases.items()}


def assert_held(source: Source, one: Structure) -> None:
    template, sites = source.templates[0], [1, 4, 7]
    mine = one.positions[sites] @ np.linalg.inv(one.cell)
    gap = mine - template.positions[sites] @ np.linalg.inv(template.cell)
    assert np.allclose((gap - np.where(one.pbc, np.rint(gap), 0.0)) @ one.cell, 0.0, atol=1e-6)
    if source.keep:
        assert np.array_equal(one.species[sites], template.species[sites])


@pytest.mark.parametrize("name", ACTS)
@settings(max_examples=40, deadline=None)
@given(which=st.integers(0, 4), seed=st.integers(0, 10_000))
def test_fixed_sites_stay_whatever_acts(slabs, name, which, seed):
    source = slabs[sorted(slabs)[which]]
    one, two = parents_of(source, seed)
    for _ in range(3):
        assert_held(source, one)
        child = ACTS[name](np.random.default_rng(seed), (one, two), source.limits, OPTIONS)
        if child is None:
            return
        assert source.limits.violation(child) is None
        one = child
    assert_held(source, one)


def test_every_operator_acts_around_fixed_sites(slabs):
    for name in ACTS:
        source = slabs["cells", "free"]
        made = [ACTS[name](np.random.default_rng(k), parents_of(source, k), source.limits, OPTIONS) for k in range(30)]
        assert sum(one is not None for one in made) >= 15, name


@pytest.mark.parametrize("strategy", ["genetic", "gradient", "random_walk", "descent"])
def test_fixed_sites_stay_through_searches_with_relaxation(tmp_path, strategy):
    lines = {
        "repeat = [2, 1, 1]": "repeat = [2, 1, 1]\nfixed = [1, 4, 7]\nrattle = 0.2\nmin_distance = 1.8",
        "islands = 5": f'islands = 1\nstrategy = "{strategy}"\nwalk.evaluations = 60\noperators.spatial = 0.7',
        "[migration]": '[relax]\ncell = "full"\nmax_evaluations = 12\nstage_evaluations = 6\n[migration]',
        'scale = "none"': "",
    }
    text = small.LATTICE
    for old, new in lines.items():
        assert old in text
        text = text.replace(old, new)
    path = small.write(tmp_path, text)
    run = read(path)
    problem = make_problem(run, make_target_data(run, tmp_path), tmp_path)
    state = start(problem, 0, 1)
    for _ in range(2):
        state = advance(state, problem)
    assert state.counter("gradient_evaluations") > 0
    template = problem.sources[0].templates[0]
    moved = 0.0
    for one in (*state.population, *state.archive):
        assert_held(problem.sources[0], one.structure)
        gap = one.structure.positions @ np.linalg.inv(one.structure.cell)
        moved = max(moved, float(np.abs(gap - template.positions @ np.linalg.inv(template.cell)).max()))
    assert moved > 1e-3


def test_a_structure_whose_fixed_atom_moved_is_refused(slabs):
    source = slabs["cells", "keep"]
    one = parents_of(source, 0)[0]
    shift = np.zeros_like(one.positions)
    shift[4, 1] = 1e-3
    assert source.limits.violation(one) is None
    assert source.limits.violation(one.replace(positions=one.positions + shift)) == "size"
    assert source.limits.violation(one.replace(positions=one.positions + one.cell[0])) is None  # an image is the same
    other = one.species.copy()
    other[4] = (other[4] + 1) % 3
    assert source.limits.violation(one.replace(species=other)) == "size"


def test_what_breaks_a_limit_is_named_by_its_cause():
    source = SOURCES["cells", "limits"]
    limits, one = source.limits, parents_of(SOURCES["cells", "limits"], 1)[0]
    assert limits.violation(one) is None
    few = one.replace(positions=one.positions[:3], species=one.species[:3])
    pure = one.replace(species=np.zeros_like(one.species))
    tight = one.replace(positions=0.5 * one.positions, cell=0.5 * one.cell)
    close = one.positions.copy()
    close[1] = close[0] + 0.1
    assert limits.violation(few) == "size"
    assert limits.violation(pure) == "composition"
    assert limits.violation(tight) == "density"
    assert limits.violation(one.replace(positions=close)) == "overlap"
    flat = np.diag([0.5, 1.0, 2.0])
    high = replace(limits, height=0.9 * one.volume ** (1 / 3))
    assert high.violation(one.replace(positions=one.positions @ flat, cell=one.cell @ flat)) == "height"
    sites = SOURCES["sublattice", "free"]
    wrong = parents_of(sites, 0)[0]
    assert sites.limits.violation(wrong.replace(species=np.full_like(wrong.species, 2))) == "composition"
