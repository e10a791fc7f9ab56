"""How good a structure is, in numbers a person can read: ratios to two other losses, and which functions are off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.loss.objective import Evaluation, Objective
from grs_evo.loss.scaling import features
from grs_evo.loss.terms.table import weights
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


def structure_loss(terms: Sequence[float] | NDArray[np.float64], names: Sequence[str]) -> float:
    """Q (eq. 13) among the terms of a structure.

    Parameters
    ----------
    terms, names : of an objective or an archive, in their order
    """
    return float(terms[names.index("structure")])


def baseline(objective: Objective, candidates: Sequence[Structure]) -> float:
    """Median structure loss of candidates, e.g. random ones; those that cannot be evaluated are left out."""
    position = objective.term_names.index("structure")
    losses = [e.terms[position] for e in map(objective.evaluate, candidates) if e.ok]
    return float(np.median(losses)) if losses else float("nan")


def quality(objective: Objective, structure: Structure, candidates: Sequence[Structure] = (), seed: int = 0) -> Quality:
    """A structure's loss over the sampling noise, and over the median loss of random candidates of its size."""
    evaluation = objective.evaluate(structure)
    loss = structure_loss(evaluation.terms, objective.term_names)
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


# Times the sampling noise, or times a spread where there is no noise, beyond which a loss is no match at all.
_FAR = 100.0
# Enough to tell a hundredfold from the noise.
_FEW_DRAWS = 50
# Relative differences that are worth a word.
_DENSITY_OFF = 0.03
# Parts of the value that are sums of others, or no distance from the target.
_NO_PARTS = ("structure", "raw", "set", "entropy")


def why_far(
    objective: Objective, structure: Structure, terms: NDArray[np.float64], targets: Sequence[Structure] = ()
) -> str:
    """What a loss of very many times the sampling noise means, in one line; empty for a smaller one.

    Parameters
    ----------
    terms : (n_terms,) of the structure, as in `Evaluation`
    targets : structures of the target, for its density; may be empty
    """
    by_name = dict(zip(objective.term_names, map(float, terms), strict=True))
    weighed = weights(objective.options)
    parts = {name: value * weighed.get(name, 1.0) for name, value in by_name.items() if name not in _NO_PARTS}
    loss = by_name.get("structure", 0.0) + parts.get("core", 0.0)
    # searches that move away, and sets, are not to come near
    if not np.isfinite(loss) or min(weighed.values(), default=0.0) < 0 or "set" in by_name or not parts:
        return ""
    if len(objective.target.sample_rows) == 0:
        return ""
    noise = sampling_noise(objective, structure.n_atoms, draws=_FEW_DRAWS) if loss > _FAR * LEAST_NOISE else 0.0
    known = noise > LEAST_NOISE
    if loss <= _FAR * (noise if known else 1.0):
        return ""
    largest = max(parts, key=lambda name: parts[name])
    measure = f"{loss / noise:.2g} times the sampling noise" if known else "and the target's environments are all alike"
    causes = "; ".join(_differences(objective, structure, by_name, targets)) or (
        "composition and density are the target's, so its atoms have other neighbours: another phase, or a poor start"
    )
    worst = f"the largest term is {largest} ({parts[largest]:.3g})"
    return f"the loss is {loss:.3g}, {measure}: no match; {worst}; {causes}"


def _differences(
    objective: Objective, structure: Structure, terms: Mapping[str, float], targets: Sequence[Structure]
) -> list[str]:
    """Plain differences of a structure from the target: composition, density, overlaps."""
    elements = objective.basis.elements
    found = []
    ours = structure.counts(len(elements)) / structure.n_atoms
    theirs = objective.target.moments.counts / objective.target.moments.counts.sum()
    # whole atoms come no nearer than this
    off = np.flatnonzero(np.abs(ours - theirs) > 1.0 / structure.n_atoms)
    if len(off):
        told = ", ".join(f"{elements[k]} {100 * ours[k]:.3g} % (target {100 * theirs[k]:.3g} %)" for k in off)
        found.append(f"another composition: {told}")
    periodic = [one for one in targets if one.pbc.all()]
    if periodic and structure.pbc.all():
        density = sum(one.n_atoms for one in periodic) / sum(one.volume for one in periodic)
        ratio = structure.n_atoms / structure.volume / density
        if abs(ratio - 1.0) > _DENSITY_OFF:
            found.append(f"another density: {ratio:.3g} times the target's")
    if terms.get("core", 0.0) > 0:
        found.append("atoms overlap: some are nearer than the core distances (term core)")
    if targets and all((one.pbc != structure.pbc).any() for one in targets):
        found.append(f"periodic along {structure.pbc.tolist()}, the target along {targets[0].pbc.tolist()}")
    return found
