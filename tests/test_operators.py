"""Each operator keeps what it promises, for any parents."""

from __future__ import annotations

import time

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.driver.config.run_file import read
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.errors import InputError
from grs_evo.kernels.geometry.contacts import closest_ratio, inverse, overlapping, push_apart, slab_images
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, Source, candidate
from grs_evo.search.island import advance, start
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.probabilities import adapt, check_operators, draw_operator, probabilities
from grs_evo.search.operators.table import operators
from grs_evo.structures.structure import Structure, to_atoms

ALLOY = ("Au", "Cu", "Ni")
OPTIONS = OperatorOptions()
OPERATORS = [one.name for one in operators()]
CROSSOVERS = [one.name for one in operators() if one.is_crossover]
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


@pytest.mark.parametrize("name", ACTS)
@settings(max_examples=25, deadline=None)
@given(key=st.sampled_from(sorted(SOURCES)), seed=st.integers(0, 10_000))
def test_children_keep_the_limits(name, key, seed):
    source = SOURCES[key]
    parents = parents_of(source, seed)
    before = [(one.positions.copy(), one.species.copy(), one.cell.copy()) for one in parents]
    child = ACTS[name](np.random.default_rng(seed), parents, source.limits, OPTIONS)
    for one, (positions, species, cell) in zip(parents, before, strict=True):
        assert np.array_equal(one.positions, positions)
        assert np.array_equal(one.species, species)
        assert np.array_equal(one.cell, cell)
    if child is None:
        return
    limits = source.limits
    assert limits.violation(child) is None
    counts, mine = child.counts(3), parents[0].counts(3)
    if name in CHEMICAL:
        assert np.array_equal(child.positions, parents[0].positions)
        assert np.array_equal(child.cell, parents[0].cell)
        assert not np.array_equal(child.species, parents[0].species)
    if name in ("swap", "swaps"):
        assert np.array_equal(counts, mine)
        changed = int((child.species != parents[0].species).sum())
        assert changed == 2 if name == "swap" else 2 <= changed <= 2 * OPTIONS.several
    if name == "flip":
        assert (child.species != parents[0].species).sum() == 1
    if name == "flips":
        assert 1 <= (child.species != parents[0].species).sum() <= OPTIONS.several
    if name.startswith("displace"):
        assert np.array_equal(child.cell, parents[0].cell)
        assert np.array_equal(child.species, parents[0].species)
    if name == "strain":
        assert child.volume == pytest.approx(parents[0].volume)
    if name in ("strain", "volume"):
        assert child.n_atoms == parents[0].n_atoms
    if name in ("add", "remove"):
        assert child.n_atoms == parents[0].n_atoms + (1 if name == "add" else -1)
        density = parents[0].n_atoms / parents[0].volume
        assert child.n_atoms / child.volume == pytest.approx(density)
    if source.limits.composition.fixed:
        assert np.array_equal(counts, limits.composition.bounds(child.n_atoms)[0])


@pytest.mark.parametrize(("kind", "least"), [("lattice", 0.9), ("cells", 0.7), ("size", 0.7)])
def test_operators_succeed_nearly_always(kind, least):
    """An operator that mostly fails would starve the search: repair, do not reject."""
    for rule in ("free", "fractions"):
        source = SOURCES[kind, rule]
        cumulative = probabilities(source.limits, OPTIONS)
        for row in cumulative:
            for name in {OPERATORS[k] for k in np.flatnonzero(np.diff(row, prepend=0.0) > 0)} - {"replace"}:
                made = [
                    ACTS[name](np.random.default_rng(k), parents_of(source, k), source.limits, OPTIONS)
                    for k in range(30)
                ]
                assert sum(one is not None for one in made) >= least * 30, (name, kind, rule)


def test_only_operators_that_can_act_are_drawn():
    def drawn(kind, rule, **options):
        rows = probabilities(SOURCES[kind, rule].limits, OperatorOptions(**options))
        return [{OPERATORS[k] for k in np.flatnonzero(np.diff(row, prepend=0.0) > 0)} for row in rows]

    assert drawn("lattice", "fractions") == [{"occupation"}, {"swap", "swaps", "replace"}]
    assert drawn("lattice", "free") == [{"occupation"}, {"swap", "swaps", "flip", "flips", "replace"}]
    assert {"add", "remove"} <= drawn("cells", "free")[1]
    assert not {"add", "remove"} & drawn("size", "free")[1]
    assert drawn("sublattice", "free")[0] == {"occupation"}
    assert not drawn("cells", "free", spatial=1.0)[1] & set(CHEMICAL)
    assert drawn("cells", "free", spatial=0.0)[1] <= set(CHEMICAL)
    assert "volume" not in drawn("cells", "free", weights={"volume": 0.0})[1]
    one = bind(CandidateOptions(kind="random", sizes=(8, 8), number_density=0.05), ("Ta",))
    by_crossover, _ = probabilities(one.limits, OPTIONS)
    assert {draw_operator(np.random.default_rng(k), by_crossover).name for k in range(20)} == {"slice"}


def test_chemical_against_spatial_probability():
    _, row = probabilities(SOURCES["cells", "free"].limits, OperatorOptions(spatial=0.8))
    share = np.diff(row, prepend=0.0)
    chemical = sum(share[k] for k, name in enumerate(OPERATORS) if name in CHEMICAL)
    assert chemical == pytest.approx(0.2)
    assert not any(share[OPERATORS.index(name)] for name in CROSSOVERS)


NO_CHEMISTRY = dict.fromkeys(("swap", "flip", "swaps", "flips"), 0.0)


@pytest.mark.parametrize(
    ("strategy", "options", "parts"),
    [
        ("random_walk", {"spatial": 0.0, "weights": NO_CHEMISTRY}, ("random_walk cannot move", "swap, flip")),
        ("descent", {"weights": dict.fromkeys(OPERATORS, 0.0)}, ("descent cannot move", "(weight 0)")),
        (
            "genetic",
            {"weights": dict.fromkeys(OPERATORS, 0.0)},
            ("genetic cannot move", "slice, occupation", "weight 0"),
        ),
        (
            "genetic",
            {"crossover": 0.0, "spatial": 0.0, "weights": NO_CHEMISTRY},
            ("occupation (crossover = 0)", "slice, displace_one", "(spatial = 0)"),
        ),
        ("annealing", {"spatial": 0.0, "weights": {"replace": 1.0, **NO_CHEMISTRY}}, ("add, remove (spatial = 0)",)),
    ],
)
def test_what_cannot_move_is_refused_with_its_causes(strategy, options, parts):
    """Such a search would end as finished after one structure, or be a random search in disguise."""
    with pytest.raises(InputError) as caught:
        check_operators(SOURCES["cells", "free"].limits, OperatorOptions(**options), strategy, "search.operators")
    message = str(caught.value)
    assert message.startswith("search.operators: no operator can act under these limits")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_what_cannot_be_as_asked_for_is_said():
    def notes(kind, rule, **options):
        return check_operators(SOURCES[kind, rule].limits, OperatorOptions(**options), "genetic", "search.operators")

    assert notes("cells", "free") == notes("lattice", "free") == notes("lattice", "fractions") == ()
    (note,) = notes("lattice", "free", crossover=1.0, weights={"occupation": 0.0})
    assert "search.operators.crossover: is 1, but" in note
    assert "slice (atoms stay on their sites); occupation (weight 0)" in note
    mutations = {name: 0.0 for name in OPERATORS if name not in CROSSOVERS}
    (note,) = notes("lattice", "fractions", weights=mutations)
    assert "all children come by crossover" in note
    assert "flip, flips (fixed composition)" in note
    assert notes("lattice", "fractions", weights=mutations, crossover=1.0) == ()
    (note,) = notes("lattice", "free", weights={**NO_CHEMISTRY, "occupation": 0.0})
    assert "only replace can act" in note


def test_the_group_of_islands_that_cannot_move_is_named(tmp_path):
    groups = "[[islands]]\ncount = 2\n[[islands]]\nstrategy = 'random_walk'\noperators.spatial = 0.0\n"
    cells = 'kind = "random"\nsizes = [4, 8]'
    text = small.LATTICE.replace("islands = 5\n", "").replace(
        'kind = "lattice"\nlattice = "fcc"\nrepeat = [2, 1, 1]', cells
    )
    weights = "operators.weights = {swap = 0.0, flip = 0.0, swaps = 0.0, flips = 0.0}\n"

    def problem(extra):
        run = read(small.write(tmp_path, text.replace("[migration]", f"{extra}[migration]")))
        return make_problem(run, make_target_data(run, tmp_path), tmp_path)

    assert problem(groups).notes == ()
    with pytest.raises(InputError, match=r"^islands\[1\]\.operators: no operator can act .* random_walk cannot move"):
        problem(groups + weights)
    with pytest.raises(InputError, match=r"^search\.operators: no operator can act"):
        problem("strategy = 'descent'\noperators.spatial = 0.0\n" + weights)


# ---- fixed sites


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
        'scale = "reference"': "",
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


def test_adaptive_rates_follow_success_and_keep_a_floor():
    options = OperatorOptions(adaptive=True, floor=0.2)
    rates = np.ones(len(OPERATORS))
    tries, successes = np.zeros(len(OPERATORS), int), np.zeros(len(OPERATORS), int)
    swap, flip = OPERATORS.index("swap"), OPERATORS.index("flip")
    tries[[swap, flip]], successes[swap] = 50, 40
    for _ in range(100):
        rates = adapt(rates, tries, successes, options)
    assert rates.mean() == pytest.approx(1.0)
    assert rates[swap] > 1.5
    assert 0.1 < rates[flip] < 0.3
    assert np.array_equal(adapt(rates, tries, successes, OperatorOptions()), rates)


def test_unknown_weight_is_named():
    with pytest.raises(ValueError, match=r"'swop' is not an operator.*did you mean 'swap'"):
        OperatorOptions(weights={"swop": 1.0})


def test_impossible_is_none_and_soon():
    pure = Structure(3.0 * np.eye(3), 9 * np.eye(3), np.zeros(3, np.int32), np.ones(3, bool))
    limits = SOURCES["lattice", "free"].limits
    assert ACTS["swap"](np.random.default_rng(0), (pure,), limits, OPTIONS) is None
    assert ACTS["occupation"](np.random.default_rng(0), (pure, pure), limits, OPTIONS) is None
    fixed = SOURCES["size", "free"].limits
    assert ACTS["add"](np.random.default_rng(0), (parents_of(SOURCES["size", "free"], 0)[0],), fixed, OPTIONS) is None


# ---- contacts, against slow and obvious loops


def naive_contacts(positions, cell, species, pbc, minimum):
    n = len(species)
    result = []
    spans = [range(-3, 4) if periodic else range(1) for periodic in pbc]
    for i in range(n):
        for j in range(n):
            for a in spans[0]:
                for b in spans[1]:
                    for c in spans[2]:
                        if i == j and a == b == c == 0:
                            continue
                        d = np.linalg.norm(positions[j] - positions[i] + np.array([a, b, c]) @ cell)
                        if d < minimum[species[i], species[j]]:
                            result.append((i, j, d / minimum[species[i], species[j]]))
    return result


cells = st.integers(0, 10_000).map(
    lambda seed: (
        np.random.default_rng(seed).normal(size=(3, 3)) * 0.7 + np.diag(np.random.default_rng(seed).uniform(2.5, 6, 3))
    )
)


@settings(max_examples=30, deadline=None)
@given(cells, st.integers(0, 1000), st.integers(1, 8), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_contacts_of_any_cell(cell, seed, n, pbc):
    if abs(np.linalg.det(cell)) < 10:
        return
    rng = np.random.default_rng(seed)
    positions = rng.random((n, 3)) @ cell * 1.7 - 2.0
    species = rng.integers(0, 2, n).astype(np.int32)
    minimum = np.array([[1.2, 1.6], [1.6, 2.0]])
    pbc = np.array(pbc)
    contacts = naive_contacts(positions, cell, species, pbc, minimum)
    expected = min((ratio for *_, ratio in contacts), default=np.inf)
    assert closest_ratio(positions, cell, species, pbc, minimum) == pytest.approx(expected)
    drop = overlapping(positions, cell, species, pbc, minimum, rng.permutation(n))
    kept = np.flatnonzero(~drop)
    assert not [1 for i, j, _ in contacts if i != j and i in kept and j in kept]
    for i in np.flatnonzero(drop):
        assert [1 for a, b, _ in contacts if a == i and b in kept]
    out, sweeps = push_apart(positions, cell, species, pbc, minimum, np.ones(n, bool), 200)
    if sweeps >= 0:
        assert not naive_contacts(out, cell, species, pbc, minimum)
    if sweeps == 0:
        assert np.array_equal(out, positions)


def test_slab_of_itself_is_itself():
    one = parents_of(SOURCES["size", "free"], 3)[0]
    index, where = slab_images(one.positions, one.cell, one.pbc, np.zeros(3), inverse(one.cell), 0, 0.2, 1.0)
    assert sorted(index.tolist()) == list(range(one.n_atoms))
    shift = where - one.positions[index] @ np.linalg.inv(one.cell)
    assert np.allclose(shift, np.rint(shift), atol=1e-9)
    half, _ = slab_images(one.positions, one.cell, one.pbc, np.zeros(3), inverse(one.cell), 2, 0.7, 0.5)
    inside = (one.positions @ np.linalg.inv(one.cell))[:, 2] % 1.0
    assert len(half) == (((inside - 0.7) % 1.0) < 0.5).sum()
    # Twice the cell holds everything eight times.
    doubled, _ = slab_images(one.positions, one.cell, one.pbc, np.zeros(3), inverse(2 * one.cell), 0, 0.0, 1.0)
    assert (np.bincount(doubled) == 8).all()


@pytest.mark.long
def test_children_are_cheap():
    """At 54 atoms a child costs little beside its relaxation (tens of milliseconds)."""
    source = bind(CandidateOptions(kind="random", sizes=(54, 54), number_density=0.05, min_distance=2.2), ("Ta",))
    parents = parents_of(source, 0)
    for name in ("slice", "displace_all", "strain"):
        ACTS[name](np.random.default_rng(0), parents, source.limits, OPTIONS)
        began = time.process_time()
        for k in range(50):
            ACTS[name](np.random.default_rng(k), parents, source.limits, OPTIONS)
        assert (time.process_time() - began) / 50 < 5e-3, name
