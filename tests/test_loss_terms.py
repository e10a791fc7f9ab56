"""Terms of the loss: their table, and terms from outside, which take part wherever those of the kernels do."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from ase.build import bulk
from numba import njit
from pydantic import Field

import grs_evo
from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.errors import InputError
from grs_evo.kernels.loss import distribution
from grs_evo.loss.lattice import make_lattice_objective
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.options import CoreOptions, LossOptions
from grs_evo.loss.quality import sampling_noise
from grs_evo.loss.terms import table
from grs_evo.loss.terms.term import AddedTerm, TermOptions
from grs_evo.potential.ase import GRSCalculator
from grs_evo.potential.relaxation import RelaxOptions, relax
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure, from_atoms
from grs_evo.targets.target import Target

# ---------------------------------------------------------------------------------------------------------------------
# three terms from outside the package, one for each thing that a term can be given


class DistanceOptions(TermOptions):
    width: float = Field(0.4, gt=0, description="of the Gaussian that each distance is smeared to [Å]")


@njit
def _smeared(distances, n_atoms, centres, width, into):
    for r in distances:
        for k in range(len(centres)):
            into[k] += np.exp(-0.5 * ((r - centres[k]) / width) ** 2) / n_atoms


@njit
def _histogram_value(species, first, second, distances, gradient, slopes, state):
    """Squared difference of a soft histogram of distances from the target's."""
    centres, width, wanted = state
    found = np.zeros_like(wanted)
    _smeared(distances, len(species), centres, width, found)
    gap = found - wanted
    if gradient:
        for p in range(len(distances)):
            for k in range(len(centres)):
                x = (distances[p] - centres[k]) / width
                slopes[p] -= 2.0 * gap[k] * np.exp(-0.5 * x * x) * x / width / len(species)
    return (gap * gap).sum()


def _histogram_of_target(basis: Basis, target: Target, options: DistanceOptions) -> Any:
    centres = np.arange(2.0, 3.6, 0.4)
    wanted = np.zeros(len(centres))
    for structure in target.structures:
        distances = neighbours(structure, float(basis.cutoff.max())).distances
        _smeared(distances, target.n_environments, centres, options.width, wanted)
    return centres, options.width, wanted


PAIRS = AddedTerm(
    name="histogram",
    meaning="soft histogram of distances against the target's",
    unit="1",
    target="structures",
    takes="pairs",
    value=_histogram_value,
    prepare=_histogram_of_target,
    options=DistanceOptions,
)


def _rows_value(rows: Any, species: Any, gradient: bool, slopes: Any, state: Any) -> float:
    """Mean over atoms of log cosh of the first function's difference from the mean of the target's sample."""
    x = rows[:, 0] - state
    if gradient:
        slopes[:, 0] = np.tanh(x) / len(x)
    return float(np.log(np.cosh(x)).mean())


ROWS = AddedTerm(
    name="first_function",
    meaning="spread of the first function",
    unit="1",
    target="environments",
    takes="rows",
    value=_rows_value,
    prepare=lambda basis, target, options: float(target.sample_rows[:, 0].mean()),
)


def _volume_value(
    positions: Any, cell: Any, species: Any, pbc: Any, gradient: bool, slopes: Any, strain: Any, state: Any
) -> float:
    """Squared relative difference of the volume from the target's, and a pull of the first atom to the second."""
    volume = abs(np.linalg.det(cell))
    x = volume / len(positions) / state - 1.0
    apart = positions[0] - positions[1]
    if gradient:
        slopes[0], slopes[1] = 0.02 * apart, -0.02 * apart
        strain += 2.0 * x * (x + 1.0) * np.eye(3) + 0.02 * np.outer(apart, apart)
    return float(x * x + 0.01 * apart @ apart)


POSITIONS = AddedTerm(
    name="volume",
    meaning="volume per atom against the target's",
    unit="1",
    target="structures",
    takes="positions",
    value=_volume_value,
    prepare=lambda basis, target, options: target.volume_per_atom,
)


def _broken_value(*arguments: Any) -> float:
    raise ZeroDivisionError("of the term itself")


BROKEN = replace(ROWS, name="broken", value=_broken_value)
NAMESAKE = replace(ROWS, name="mean")
NO_TERM = 3.0
EACH = {"PAIRS": PAIRS, "ROWS": ROWS, "POSITIONS": POSITIONS}
ALL = {f"{__name__}:{name}": 0.7 for name in EACH}


@pytest.fixture(scope="module")
def basis() -> Basis:
    return build_basis(["Au", "Cu"], n_max=(3, 2, 1), l_max=(0, 2, 1), cutoff=4.2)


def alloy(seed: int, scale: float = 0.15) -> Structure:
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
    atoms.symbols[[0, 1]] = "Au"
    atoms.rattle(scale, seed=seed)
    return from_atoms(atoms, ["Au", "Cu"])


@pytest.fixture(scope="module")
def target(basis: Basis) -> Target:
    return Target.from_structures([alloy(k, 0.1) for k in range(6)], basis)


def objective_with(terms: Any, basis: Basis, target: Target, **options: Any) -> Objective:
    core = CoreOptions(kind="none")
    return make_objective(basis, target, LossOptions(norm="huber", delta=0.5, core=core, terms=terms, **options))


# ---------------------------------------------------------------------------------------------------------------------
# the table


def test_each_column_of_the_compiled_code_has_its_record() -> None:
    assert [one.column for one in table.COMPILED] == list(range(distribution.N_TERMS))
    for one in table.COMPILED:
        assert getattr(distribution, one.name.upper()) == one.column
        assert one.meaning
        assert not one.meaning.endswith(".")
        assert one.unit


def test_options_that_weigh_terms_are_options() -> None:
    for one in table.COMPILED:
        options: Any = LossOptions()
        for name in one.option.split("."):
            options = getattr(options, name)
        assert isinstance(options, float)


def test_weights_are_those_with_which_terms_enter_the_value(basis: Basis, target: Target) -> None:
    options = LossOptions(
        mean=0.5, variance=0.25, skewness=0.1, kurtosis=0.05, w_structure=0.8, w_entropy=0.3, reward=0.2, tolerance=0.3,
        terms=ALL,
    )  # fmt: skip
    judge = make_objective(basis, target, options)
    found = judge.evaluate(alloy(40, 0.5))
    weights = table.weights(options)
    summed = [name for name in judge.term_names if name not in ("structure", "raw")]
    assert set(weights) >= set(judge.term_names)
    value = sum(weights[name] * found.terms[judge.term_names.index(name)] for name in summed)
    assert value == pytest.approx(found.value, rel=1e-12)


def test_only_covariance_needs_the_covariance() -> None:
    assert [one.name for one in table.COMPILED if one.needs_covariance] == ["covariance"]
    assert not table.needs_covariance(LossOptions())
    assert table.needs_covariance(LossOptions(covariance=0.1))


def test_facts_say_what_is_known_of_a_column() -> None:
    known = table.facts(("mean", "histogram", "raw"), LossOptions(mean=0.5, terms={f"{__name__}:PAIRS": 2.0}))
    assert known["mean"] == table.TermFacts("part of it: means of the functions", "1", 0.5)
    assert known["histogram"].meaning == PAIRS.meaning
    assert known["histogram"].weight == 2.0
    assert known["raw"].weight is None
    assert list(table.facts(("mean", "of another program"))) == ["mean"]
    elsewhere = table.facts(("its_term",), LossOptions(terms={"not_importable_here:TERM": 2.0}))
    assert "not_importable_here:TERM" in elsewhere["its_term"].meaning


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"pairs": 1.0}, "'pairs' is no term"),
        ({"no_such_module:TERM": 1.0}, "cannot be imported"),
        ({f"{__name__}:NOTHING": 1.0}, "cannot be imported"),
        ({f"{__name__}:NO_TERM": 1.0}, "is a float; it must be an AddedTerm"),
        ({f"{__name__}:NAMESAKE": 1.0}, "calls itself 'mean'"),
        ({f"{__name__}:PAIRS": {"widht": 1.0}}, "widht: unknown key"),
        ({f"{__name__}:PAIRS": {"width": 0.0}}, "width: is 0.0"),
        ({f"{__name__}:PAIRS": {"weight": "much"}}, "weight: is"),
    ],
)
def test_terms_that_cannot_be_are_refused(terms: Any, message: str, basis: Basis, target: Target) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        objective_with(terms, basis, target)
    assert "loss.terms" in str(refused.value)


def test_a_target_without_what_a_term_reads_is_refused(basis: Basis, target: Target) -> None:
    bare = replace(target, structures=(), sample_rows=np.zeros((0, 1)))
    for name, lacking in (("PAIRS", "structures"), ("ROWS", "environments")):
        with pytest.raises(InputError, match=f"needs .*{lacking}"):
            objective_with({f"{__name__}:{name}": 1.0}, basis, bare)


# ---------------------------------------------------------------------------------------------------------------------
# value and slope


ALONE: dict[str, dict[str, Any]] = {
    "mean": {"mean": 1.0},
    "variance": {"variance": 1.0},
    "skewness": {"skewness": 1.0},
    "kurtosis": {"kurtosis": 1.0},
    "covariance": {"covariance": 1.0},
    "structure": {"mean": 0.5, "variance": 0.5},
    "set": {"mean": 1.0, "w_structure": 0.0, "w_set": 1.0},
    "core": {"core": CoreOptions(fraction=1.0, width=0.2)},
    "entropy": {"w_entropy": 1.0},
}


@pytest.mark.parametrize("name", ALONE)
def test_each_compiled_term_alone_is_the_value_and_has_its_slope(name: str, basis: Basis) -> None:
    target = Target.from_structures([alloy(k, 0.1) for k in range(6)], basis, covariance=True)
    nothing: dict[str, Any] = {"mean": 0.0, "variance": 0.0, "core": CoreOptions(kind="none")}
    options = LossOptions(**(nothing | {"norm": "huber", "delta": 0.5} | ALONE[name]))
    judge = make_objective(basis, target, options).with_set(
        Target.from_structures(alloy(90), basis, covariance=True).moments
    )
    start, h = alloy(60), 1e-5
    found, forces, _ = judge.gradient(start)
    assert found.value == pytest.approx(found.terms[judge.term_names.index(name)], rel=1e-12)
    step = np.random.default_rng(2).normal(size=(4, 3))
    ahead, behind = (judge.evaluate(start.replace(positions=start.positions + t * step)).value for t in (h, -h))
    assert -(forces * step).sum() == pytest.approx((ahead - behind) / (2 * h), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", EACH)
def test_value_is_weight_times_term_beside_the_rest(name: str, basis: Basis, target: Target) -> None:
    without = objective_with({}, basis, target).evaluate(alloy(50))
    judge = objective_with({f"{__name__}:{name}": {"weight": -0.5}}, basis, target)
    found = judge.evaluate(alloy(50))
    assert judge.term_names[-1] == EACH[name].name
    assert found.terms[:-1].tolist() == without.terms.tolist()
    assert found.terms[-1] > 0.0
    assert found.value == pytest.approx(without.value - 0.5 * found.terms[-1], rel=1e-12)
    assert judge.evaluate(alloy(50)).value == judge.gradient(alloy(50))[0].value


@pytest.mark.parametrize("terms", [*({f"{__name__}:{name}": 1.3} for name in EACH), ALL], ids=[*EACH, "all"])
@pytest.mark.parametrize("moments", [0.0, 1.0])
def test_forces_and_virial_are_minus_the_differences_of_the_value(
    terms: Any, moments: float, basis: Basis, target: Target
) -> None:
    judge = objective_with(terms, basis, target, mean=moments, variance=moments)
    start = alloy(51)
    _, forces, virial = judge.gradient(start)
    rng = np.random.default_rng(0)
    step, strain = rng.normal(size=(4, 3)), rng.normal(size=(3, 3))
    h = 1e-5

    def moved(t: float) -> float:
        return judge.evaluate(start.replace(positions=start.positions + t * step)).value

    def strained(t: float) -> float:
        deform = np.eye(3) + t * strain
        return judge.evaluate(start.replace(positions=start.positions @ deform.T, cell=start.cell @ deform.T)).value

    assert -(forces * step).sum() == pytest.approx((moved(h) - moved(-h)) / (2 * h), rel=1e-5, abs=1e-7)
    assert -(virial * strain).sum() == pytest.approx((strained(h) - strained(-h)) / (2 * h), rel=1e-5, abs=1e-7)


def test_terms_of_rows_take_part_where_rows_are_given(basis: Basis, target: Target) -> None:
    judge = objective_with(ALL, basis, target)
    rows, species = target.sample_rows[:5], target.sample_species[:5]
    value, slopes = judge.rows_gradient(rows, species)
    found = judge.rows_loss(rows, species)
    terms = dict(zip(judge.term_names, found.terms, strict=True))
    assert terms["first_function"] > 0.0
    assert terms["histogram"] == terms["volume"] == 0.0
    assert found.value == pytest.approx(value)
    step, h = np.random.default_rng(1).normal(size=rows.shape) * (rows != 0), 1e-5
    numeric = (judge.rows_loss(rows + h * step, species).value - judge.rows_loss(rows - h * step, species).value) / h
    assert (slopes * step).sum() == pytest.approx(numeric / 2, rel=1e-5)


def test_another_target_prepares_the_terms_anew(basis: Basis, target: Target) -> None:
    judge = objective_with(ALL, basis, target)
    other = Target.from_structures([alloy(k, 0.6) for k in range(3)], basis)
    moved = judge.with_target(other)
    assert (
        moved.evaluate(alloy(52)).terms.tolist() == objective_with(ALL, basis, other).evaluate(alloy(52)).terms.tolist()
    )
    kept = judge.with_set(None)
    assert kept.evaluate(alloy(52)).terms.tolist() == judge.evaluate(alloy(52)).terms.tolist()


def test_sampling_noise_is_that_of_the_structure_loss(basis: Basis, target: Target) -> None:
    plain, more = objective_with({}, basis, target), objective_with(ALL, basis, target)
    assert sampling_noise(plain, 8, draws=20) == sampling_noise(more, 8, draws=20)


def test_what_a_term_raises_is_told_with_its_file(basis: Basis, target: Target) -> None:
    judge = objective_with({f"{__name__}:BROKEN": 1.0}, basis, target)
    words = rf"{__name__}:BROKEN \(.*{__name__}\.py, line \d+\): value raised ZeroDivisionError: of the term itself"
    for _ in range(2):
        with pytest.raises(InputError, match=words):
            judge.evaluate(alloy(53))
        with pytest.raises(InputError, match=words):
            relax(alloy(53), judge, RelaxOptions(max_evaluations=10))


def test_a_lattice_has_no_tables_of_them(basis: Basis, target: Target) -> None:
    with pytest.raises(InputError, match="terms without tables"):
        make_lattice_objective(objective_with(ALL, basis, target), alloy(1, 0.0))


# ---------------------------------------------------------------------------------------------------------------------
# relaxation, calculators, runs


@pytest.mark.parametrize("method", ["recipe", "lbfgs", "cg", "fire"])
@pytest.mark.parametrize("cell", ["none", "full"])
def test_relaxation_descends_them(method: Any, cell: Any, basis: Basis, target: Target) -> None:
    judge = objective_with(ALL, basis, target, mean=0.0, variance=0.0)
    start = alloy(54, 0.3)
    before = judge.evaluate(start)
    done = relax(start, judge, RelaxOptions(method=method, cell=cell, max_evaluations=60))
    assert done.value < 0.8 * before.value
    after = judge.evaluate(done.structure)
    assert after.value == pytest.approx(done.value, rel=1e-12)
    assert after.terms == pytest.approx(done.terms, rel=1e-12)


def test_a_calculator_has_them(basis: Basis, target: Target) -> None:
    judge = objective_with(ALL, basis, target)
    structure = alloy(55)
    atoms = grs_evo.structures.structure.to_atoms(structure, basis.elements)
    atoms.calc = GRSCalculator(judge)
    evaluation, forces, _ = judge.gradient(structure)
    assert atoms.get_potential_energy() == pytest.approx(evaluation.value)
    assert atoms.get_forces() == pytest.approx(forces)
    assert atoms.calc.results["terms"]["histogram"] == evaluation.terms[judge.term_names.index("histogram")]


@pytest.mark.parametrize("text", [small.RELAXED, small.LATTICE], ids=["relaxed", "lattice"])
def test_a_run_with_terms_from_outside(text: str, tmp_path: Path) -> None:
    """History column, archive term, the same after a stop and a resume; and a score of what was found."""
    listed = "\n".join(f'"{name}" = 0.5' for name in list(ALL)[:2])
    listed += f'\n"{__name__}:POSITIONS" = {{weight = 0.25}}'
    text = text.replace("generations = 12", "generations = 5")
    made = {}
    for kind, generations in (("whole", 5), ("stopped", 2)):
        folder = tmp_path / kind
        folder.mkdir()
        begun = text.replace("[stop]\ngenerations = 5", f"[stop]\ngenerations = {generations}")
        path = small.write(folder, begun, f"\n[loss.terms]\n{listed}\n")
        assert grs_evo.run(path, quiet=True).finished
        if kind == "stopped":
            assert grs_evo.resume(path.with_suffix(""), extend="stop.generations=5", quiet=True).finished
        made[kind] = grs_evo.read_archive(path.with_suffix(""))
    whole, stopped = made["whole"], made["stopped"]
    assert whole.term_names[-3:] == ("first_function", "histogram", "volume")
    assert whole.archive_hash == stopped.archive_hash
    best = min(whole.individuals, key=lambda one: one.value)
    for k, name in enumerate(whole.term_names[-3:]):
        assert best.terms[k - 3] in whole.history[f"best_{name}"]
    assert f'"{__name__}:POSITIONS" = {{weight = 0.25}}' in whole.run_file


def test_a_resume_with_another_term_behind_the_name_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    path = small.write(tmp_path, small.RELAXED, f'\n[loss.terms]\n"{__name__}:ROWS" = 0.5\n')
    grs_evo.run(path, quiet=True)
    monkeypatch.setattr(table.inspect, "getsource", lambda module: "another source")
    with pytest.raises(InputError, match=r"source of loss\.terms"):
        grs_evo.resume(path.with_suffix(""), extend="stop.generations=6", quiet=True)
