"""How good a structure is, in numbers a person can read: ratios to two other losses, and which functions are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.loss.objective import Evaluation, Objective
from grs_evo.loss.scaling import features
from grs_evo.structures.structure import Structure
from grs_evo.targets.moments import MOMENT_NAMES

# Draws of which the median is taken: its own error is then 4 % of the spread of single draws.
_DRAWS = 1000
# A smaller median is rounding: a sample of a crystal's environments is the crystal, there is nothing to measure by.
LEAST_NOISE = 1e-9


@dataclass(frozen=True, eq=False)
class Quality:
    """The structure loss of a structure, and what it is a multiple of."""

    evaluation: Evaluation
    structure_loss: float  # Q (eq. 13)
    noise: float  # median Q of as many environments drawn at random from the target; NaN where it has no spread
    noise_ratio: float  # below 1: stands for the target better than a random sample of its environments would; or NaN
    baseline: float  # median Q of random candidates of that size; NaN when none were given
    baseline_ratio: float


@dataclass(frozen=True, eq=False)
class Score:
    """How far each function's moments are from the target's, in standard deviations of the target."""

    columns: NDArray[np.int64]  # (n_desc,) functions by the size of their mismatch, worst first
    elements: NDArray[np.int64]  # (n_desc,) central element of each function, in basis order
    deviations: NDArray[np.float64]  # (n_desc,) (mean − target mean) / target standard deviation, in basis order
    variance_ratios: NDArray[np.float64]  # (n_desc,) variance / target variance; NaN where the target's is 0
    differences: NDArray[np.float64]  # (4, n_desc) mean, variance, skewness, kurtosis minus the target's, unscaled


def sampling_noise(objective: Objective, n_atoms: int, seed: int = 0, draws: int = _DRAWS) -> float:
    """Median structure loss of `n_atoms` environments drawn at random (with replacement) from the target itself.

    Raises
    ------
    InputError
        The target kept no sample of its environments.
    """
    losses = sampling_losses(objective, n_atoms, seed, draws)
    return float(np.median(losses))


def sampling_losses(objective: Objective, n_atoms: int, seed: int = 0, draws: int = _DRAWS) -> NDArray[np.float64]:
    """(draws,) structure losses of random samples of the target's environments."""
    target = objective.target
    if len(target.sample_rows) == 0:
        raise InputError("the target keeps no environments to draw from, so it has no sampling noise")
    rng = np.random.default_rng([seed, n_atoms])
    ends = np.cumsum(target.sample_weights)
    bare = without_extras(objective)
    position = bare.term_names.index("structure")
    losses = np.empty(draws)
    for k in range(draws):
        picks = np.searchsorted(ends, rng.random(n_atoms) * ends[-1], side="right")
        picks = np.minimum(picks, len(ends) - 1)
        losses[k] = bare.rows_loss(target.sample_rows[picks], target.sample_species[picks]).terms[position]
    return losses


def baseline(objective: Objective, candidates: Sequence[Structure]) -> float:
    """Median structure loss of candidates, e.g. random ones; those that cannot be evaluated are left out."""
    position = objective.term_names.index("structure")
    losses = [e.terms[position] for e in map(objective.evaluate, candidates) if e.ok]
    return float(np.median(losses)) if losses else float("nan")


def quality(objective: Objective, structure: Structure, candidates: Sequence[Structure] = (), seed: int = 0) -> Quality:
    """A structure's loss over the sampling noise, and over the median loss of random candidates of its size."""
    evaluation = objective.evaluate(structure)
    loss = float(evaluation.terms[objective.term_names.index("structure")])
    noise = sampling_noise(objective, structure.n_atoms, seed)
    if not noise > LEAST_NOISE:
        noise = float("nan")
    random = baseline(objective, candidates) if len(candidates) else float("nan")
    return Quality(evaluation, loss, noise, _ratio(loss, noise), random, _ratio(loss, random))


def score(objective: Objective, structure: Structure) -> Score:
    """Per function: by how many of the target's standard deviations its mean is off, and the other moments."""
    moments = objective.moments_of(structure)
    distribution = objective.options.distribution
    ours = features(moments, distribution)
    theirs = features(objective.target.moments, distribution)
    plan = objective.plan
    spread = np.sqrt(theirs[1])
    flat = theirs[1] <= 1e6 * plan.floor
    # A function without spread in the target is measured in the scale that the loss gives it.
    unit = np.where(flat, 1.0 / plan.spread, spread)
    deviations = (ours[0] - theirs[0]) / unit
    ratios = np.divide(ours[1], theirs[1], out=np.full_like(spread, np.nan), where=~flat)
    worst = np.argsort(-np.abs(deviations), kind="stable")
    return Score(worst, moments.elements, deviations, ratios, ours - theirs)


def score_table(objective: Objective, result: Score, limit: int | None = None) -> list[dict[str, Any]]:
    """The worst functions as rows of plain values: element, number, label, deviation, variance ratio."""
    basis = objective.basis
    rows = []
    for column in result.columns[:limit]:
        element = int(result.elements[column])
        number = int(column) - int(np.sum(basis.sizes[:element]))
        mixed = basis.mixing[element] is not None
        label = None if mixed else basis.labels[element][number]
        rows.append(
            {
                "element": basis.elements[element],
                "function": number,
                "neighbours": "" if label is None else "-".join(basis.elements[mu] for mu in label.mus),
                "n": "" if label is None else ",".join(map(str, label.ns)),
                "l": "" if label is None else ",".join(map(str, label.ls)),
                "L": "" if label is None else ",".join(map(str, label.Ls)),
                "deviation": float(result.deviations[column]),
                "variance_ratio": float(result.variance_ratios[column]),
                **{f"{name}_difference": float(result.differences[p, column]) for p, name in enumerate(MOMENT_NAMES)},
            }
        )
    return rows


def without_extras(objective: Objective) -> Objective:
    """The same structure loss without set, entropy, reward and added terms: what environments alone are compared by."""
    plan = objective.plan._replace(w_structure=1.0, w_set=0.0, w_entropy=0.0, reward=0.0)
    return replace(objective, plan=plan, added=(), scratch=type(objective.scratch)())


def _ratio(loss: float, relative_loss: float) -> float:
    return loss / relative_loss if relative_loss > 0 else float("nan")


_MANY = 1000  # environments, of a set


_DRAWS_OF_MANY = 100


@dataclass(frozen=True)
class RelativeLoss:
    """A loss over the sampling noise of the target."""

    n_atoms: int
    noise: float  # median loss of as many random environments of the target; 0 where all are one
    ratio: float  # NaN where there is no noise


def over_noise(objective: Objective, loss: float, n_atoms: int) -> RelativeLoss:
    """A structure's or a set's loss over the sampling noise for as many environments, as `grs-evo score` tells it."""
    # Samples of many environments differ little from each other, and take long.
    noise = sampling_noise(objective, n_atoms, **({"draws": _DRAWS_OF_MANY} if n_atoms > _MANY else {}))
    if not noise > LEAST_NOISE:
        return RelativeLoss(n_atoms, 0.0, float("nan"))
    return RelativeLoss(n_atoms, noise, loss / noise)
