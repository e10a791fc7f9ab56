"""Structures against a target: each term, the losses it is to be compared with, and which functions are off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.analysis import principal_components, shared
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
from grs_evo.storage.run_folder import existing
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.targets.clusters import with_vacancies
from grs_evo.text import table_of

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
    beside = _novelty(given, target_data, types, format) if given else None
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
                "novelty": beside(one) if beside is not None else None,
            }
        )
    return found


def _novelty(
    given: Sequence[str], target_data: TargetData, types: Sequence[str], format: str | None
) -> Callable[[Structure], dict[str, Any]]:
    """How far a structure's environments are from those of a reference, in units of the distance between its own.

    And what it tells of the target that the reference does not.
    """
    basis = target_data.basis
    entries = read_structures(list(given), basis.elements, types=types, format=format)
    held = [entry.structure for entry in entries]
    reference = environments.of_structures(held, basis).wide(basis)
    with within("--given"):
        components = principal_components(reference)
        wanted = target_data.structures
        measure = Measure(wanted, basis.elements, held) if wanted else None
        before = None if measure is None else measure.of([])

    def of(one: Structure) -> dict[str, Any]:
        found = shared(reference, environments.of_structures([one], basis).wide(basis), components)
        told = {
            "environments": found.novelty.tolist(),
            "outside": found.outside,
            "overlap": found.overlap,
            "entropy": found.entropy,
            "diversity": found.diversity,
            "information": None,
        }
        if measure is not None and before is not None:
            after = measure.of([one])
            told["information"] = {
                "energies": after.energies / before.energies,
                "forces": after.forces / before.forces,
                "log_det": (after.log_det - before.log_det) * after.functions,
            }
        return told

    return of


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


def _relative_loss(path: Path) -> tuple[TargetData, Objective, Problem | None]:
    if not is_folder(path):
        target_data = TargetData.read(path)
        return target_data, make_objective(target_data.basis, target_data.target, LossOptions()), None
    folder = existing(path)
    target_data = TargetData.read(folder.target)
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
            new = one["novelty"]
            lines.append(
                f"  against the given structures: {100 * new['outside']:.0f} % of its environments are new, the "
                f"farthest by {max(new['environments']):.3g} times their neighbour distance; "
                f"entropy {new['entropy']:+.3g} nats"
            )
            if (adds := new["information"]) is not None:
                lines.append(
                    f"  beside the given structures it leaves {adds['energies']:.3g} of the predicted variance of the "
                    f"target's energies and {adds['forces']:.3g} of its forces'; ln det {adds['log_det']:+.3g}"
                )
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


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:.4g}" if np.isfinite(value) else "-"
    return str(value)
