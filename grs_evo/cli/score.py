"""Structures against a target: each term, the losses it is to be compared with, and which functions are off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.analysis import Shared, coverage, principal_components, shared
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.quality import judge, most_off, reference_of, untold
from grs_evo.datasets.growth.taught import Measure
from grs_evo.driver.config.run_file import read
from grs_evo.driver.setup import make_problem
from grs_evo.errors import InputError, within
from grs_evo.files import is_folder
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.loss.quality import quality, score, score_table, why_far
from grs_evo.loss.terms.table import facts
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, candidate
from grs_evo.search.problem import Problem
from grs_evo.storage.run_folder import Folder, existing
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.targets.clusters import with_vacancies
from grs_evo.text import counted, table_of

# random candidates whose median loss is compared with
_N_RANDOM = 64
# observables listed that are most off
_N_OBSERVABLES = 6


def scores(
    files: Sequence[str],
    target: str | Path,
    functions: int = 10,
    types: Sequence[str] = (),
    format: str | None = None,
    given: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """How well structures stand for a target.

    Parameters
    ----------
    files : structure files, with an optional index
    target : a file made by `grs-evo target`, which is compared by the default loss, or a run folder: by the run's own
    functions : how many of the functions that are most off are listed
    types, format : of the structure files, see `readers.read_structures`
    given : structure files of a reference, such as a set that is there already; each structure then has a ``novelty``

    Returns
    -------
    One table of plain values per structure. What does not exist is NaN: the noise of a target without spread, the
    variance ratio of a function that has none in the target, the losses of a structure that cannot be evaluated.

    Raises
    ------
    InputError
        A file that cannot be read, or whose elements are not in the basis.
    """
    path = Path(target)
    target_data, objective, problem = _relative_loss(path)
    judged_by = _judged_by(target_data)
    beside = _beside(_read(given, target_data, types, format), target_data) if given else None
    found = []
    for entry in read_structures(list(files), target_data.basis.elements, types=types, format=format):
        one = with_vacancies(target_data.target.alloy, entry.structure, target_data.basis.elements)
        with within(entry.source):
            judged = quality(objective, one, _random(one, target_data, problem))
            off = score_table(objective, score(objective, one), functions)
        terms = dict(zip(objective.term_names, map(float, judged.evaluation.terms), strict=True))
        known = facts(objective.term_names, objective.options)
        found.append(
            {
                "structure": entry.source,
                "n_atoms": one.n_atoms,
                "value": float(judged.evaluation.value),
                "terms": terms,
                "meanings": {name: fact.meaning for name, fact in known.items()},
                "noise": judged.noise,
                "over_noise": judged.noise_ratio,
                "random": judged.baseline,
                "over_random": judged.baseline_ratio,
                "no_match": why_far(objective, one, judged.evaluation.terms, target_data.structures),
                "functions": off,
                "by_term": {
                    each.term.name: each.term.report(one, objective.basis.elements, entry.source, each.state)
                    for each in objective.added
                    if each.term.report is not None
                },
                "quality": judged_by(one),
                "novelty": beside([one]) if beside is not None else None,
            }
        )
    return found


def together(
    files: Sequence[str],
    target: str | Path,
    types: Sequence[str] = (),
    format: str | None = None,
    given: Sequence[str] = (),
) -> dict[str, Any]:
    """What structures cover of a target as one set, and what they add to a given one; arguments as of `scores`.

    Returns
    -------
    Plain values: V_rep beside what cannot be large for a set that lies elsewhere, what a linear potential fitted on the
    set knows of the target, and under ``given`` what is new against these. What cannot be told is None, with a note.
    """
    target_data, _ = _target_of(Path(target))
    basis = target_data.basis
    chosen = _read(files, target_data, types, format)
    held = _read(given, target_data, types, format) if given else []
    rows = environments.of_structures(chosen, basis)
    found: dict[str, Any] = {"structures": len(chosen), "environments": rows.total, "sentences": [], "notes": []}
    found |= {"coverage": None, "information": None, "given": None}
    try:
        wanted, own = environments.of_target(target_data.target, drawn=False).wide(basis), rows.wide(basis)
        components = principal_components(wanted)
        hull, common = coverage(wanted, own, components=components), shared(wanted, own, components)
        found["sentences"] += [hull.sentence(), common.sentence()]
        found["coverage"] = {
            "v_rep": hull.v_rep if hull.is_told else hull.exact,
            "dimension": hull.dimension if hull.is_told else hull.exact_dimension,
            "inside": hull.inside,
            "beyond": hull.beyond,
            **_common(common),
            "reached": common.reached,
        }
    except InputError as error:
        found["notes"].append(f"coverage: {error}")
    measure, why = _measure(target_data)
    if measure is None:
        found["notes"].append(f"information: {why}")
    else:
        taught = measure.of(chosen)
        found["sentences"].append(taught.sentence())
        found["information"] = {"energies": taught.energies, "forces": taught.forces, "log_det": taught.log_det}
    if held:
        found["given"] = _beside(held, target_data)(chosen)
    return found


def _read(names: Sequence[str], target_data: TargetData, types: Sequence[str], format: str | None) -> list[Structure]:
    elements = target_data.basis.elements
    entries = read_structures(list(names), elements, types=types, format=format)
    return [with_vacancies(target_data.target.alloy, entry.structure, elements) for entry in entries]


def _measure(target_data: TargetData, held: Sequence[Structure] = ()) -> tuple[Measure | None, str]:
    """What tells how much sets teach about the target beside some structures; or none, and why."""
    if not target_data.structures:
        return None, "the target holds no structures"
    try:
        return Measure(target_data.structures, target_data.basis.elements, held), ""
    except InputError as error:
        return None, str(error).removeprefix("set.objective: ")


def _beside(held: Sequence[Structure], target_data: TargetData) -> Callable[[Sequence[Structure]], dict[str, Any]]:
    """How far structures' environments are from those of a reference, in units of the distance between its own.

    And what they tell of the target that the reference does not.
    """
    basis = target_data.basis
    reference = environments.of_structures(list(held), basis).wide(basis)
    with within("--given"):
        components = principal_components(reference)
    measure, _ = _measure(target_data, held)
    before = None if measure is None else measure.of([])

    def of(some: Sequence[Structure]) -> dict[str, Any]:
        with within("--given"):
            found = shared(reference, environments.of_structures(list(some), basis).wide(basis), components)
        told = {"environments": found.novelty.tolist(), **_common(found), "information": None}
        if measure is not None and before is not None:
            after = measure.of(some)
            told["information"] = {
                "energies": after.energies / before.energies,
                "forces": after.forces / before.forces,
                "log_det": (after.log_det - before.log_det) * after.functions,
            }
        return told

    return of


def _common(found: Shared) -> dict[str, float]:
    return {
        "outside": found.outside,
        "overlap": found.overlap,
        "entropy": found.entropy,
        "diversity": found.diversity,
    }


def _judged_by(target_data: TargetData) -> Callable[[Structure], dict[str, Any] | None]:
    """How structures compare with the target by the observables; None where the target has no structures."""

    def told(one: Structure) -> dict[str, Any] | None:
        try:
            if refused is not None:
                raise refused
            return None if reference is None else judge([one], reference, "").to_dict()
        except InputError as error:
            return untold("", error).to_dict()

    reference, refused = None, None
    try:
        reference = reference_of(target_data.target, target_data.basis.elements)
    except InputError as error:
        refused = error
    return told


def _target_of(path: Path) -> tuple[TargetData, Folder | None]:
    folder = existing(path) if is_folder(path) else None
    return TargetData.read(path if folder is None else folder.target), folder


def _relative_loss(path: Path) -> tuple[TargetData, Objective, Problem | None]:
    target_data, folder = _target_of(path)
    if folder is None:
        return target_data, make_objective(target_data.basis, target_data.target, LossOptions()), None
    problem = make_problem(read(folder.run_file), target_data, folder.path)
    return target_data, problem.objective, problem


def _random(one: Structure, target_data: TargetData, problem: Problem | None) -> list[Structure]:
    """Random candidates of the structure's size, from the run's own source where it makes such."""
    rng = np.random.default_rng([one.n_atoms, _N_RANDOM])
    sources = list(problem.sources[:1]) if problem is not None else []
    if not any(one.n_atoms in source.sizes for source in sources):
        options = CandidateOptions(kind="random", sizes=(one.n_atoms, one.n_atoms), composition="free")
        try:
            sources = [bind(options, target_data.basis.elements, target_data.structures)]
        except InputError:  # no density to draw at: then there is nothing random to compare with
            return []
    drawn = (candidate(rng, sources[0]) for _ in range(4 * _N_RANDOM))
    return [made for made in drawn if made is not None and made.n_atoms == one.n_atoms][:_N_RANDOM]


def text_of(found: list[dict[str, Any]]) -> str:
    """The scores for people."""
    lines = []
    for one in found:
        lines += [f"{one['structure']}: {one['n_atoms']} atoms, V_eff {one['value']:.6g}"]
        judged = one["quality"]
        if judged is not None:
            lines.append(f"  {judged['line']}")
        wide = max(12, *map(len, one["terms"]))
        lines += [
            f"  {name:<{wide}} {value:<12.6g} {one['meanings'].get(name, '')}".rstrip()
            for name, value in one["terms"].items()
        ]
        if np.isfinite(one["noise"]):
            lines.append(f"  {one['over_noise']:.4g} times the sampling noise of the target ({one['noise']:.4g})")
        else:
            lines.append("  the target has no sampling noise: its environments are all alike")
        if np.isfinite(one["over_random"]):
            lines.append(f"  {one['over_random']:.4g} times the median of random candidates ({one['random']:.4g})")
        if one["no_match"]:
            lines.append(f"  {one['no_match']}")
        if one["novelty"] is not None:
            lines += [f"  {line}" for line in _beside_lines(one["novelty"], "its")]
        if one["functions"]:
            heads = list(one["functions"][0])
            rows = [[_cell(row[head]) for head in heads] for row in one["functions"]]
            lines += ["", "  functions most off, in standard deviations of the target", table_of(rows, heads), ""]
        for name, rows in one["by_term"].items():
            lines += ["", f"  {name}", table_of([[_cell(v) for v in row.values()] for row in rows], list(rows[0])), ""]
        if judged is not None and judged["rows"]:
            lines += ["", "  observables most off, in scatters of as many environments of the target"]
            off = most_off(judged["rows"], _N_OBSERVABLES)
            lines += [table_of(list(zip(*off.values(), strict=True)), list(off)), ""]
    notes = {note: None for one in found if one["quality"] is not None for note in one["quality"]["notes"]}
    return "\n".join([*lines, *notes])


def text_of_set(found: dict[str, Any]) -> str:
    """The set for people."""
    lines = [f"together: {counted(found['structures'], 'structure')}, {counted(found['environments'], 'environment')}"]
    lines += [f"  {line}" for line in found["sentences"]]
    if found["coverage"] is not None:
        inside, beyond = found["coverage"]["inside"], found["coverage"]["beyond"]
        share = f"  {100 * inside:.0f} % of the target inside its hull"
        lines.insert(2, f"{share}, {100 * beyond:.0f} % of the set beyond the target's")
    if found["given"] is not None:
        lines += [f"  {line}" for line in _beside_lines(found["given"], "their")]
    return "\n".join([*lines, *(f"  {note}" for note in found["notes"])])


def _beside_lines(new: dict[str, Any], whose: str) -> list[str]:
    """What is new against given structures."""
    spread = ""
    if np.isfinite(new["entropy"]):
        spread = f"; entropy {new['entropy']:+.3g} nats, diversity {new['diversity']:.3g}"
    lines = [
        f"against the given structures: {100 * new['outside']:.0f} % of {whose} environments are new, the farthest by "
        f"{max(new['environments']):.3g} times the given ones' neighbour distance{spread}"
    ]
    if (adds := new["information"]) is not None:
        lines.append(
            f"beside the given structures {'it leaves' if whose == 'its' else 'they leave'} {adds['energies']:.3g} of "
            f"the predicted variance of the target's energies and {adds['forces']:.3g} of its forces'; "
            f"ln det {adds['log_det']:+.3g}"
        )
    return lines


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:.4g}" if np.isfinite(value) else "-"
    return str(value)
