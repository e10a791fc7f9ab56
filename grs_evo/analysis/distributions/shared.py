"""What a set has in common with its target, and what it holds beside it: measures that grow only where both lie.

V_rep (eq. 18) compares the sizes of two hulls wherever they lie: a set far off, or far beyond its target, scores well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError, cKDTree
from scipy.special import digamma, gammaln

from grs_evo.analysis.distributions.components import Components, checked_rows, project
from grs_evo.analysis.notation import percent, significant
from grs_evo.errors import InputError

# Intersections of hulls are found exactly; beyond four components their facets number hundreds of thousands.
MOST_COMPONENTS = 4
# Environments that a distribution is spoken of from.
_FEW = 3
# A share of the target's extent that is nothing but rounding.
_FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class Shared:
    """A set beside its target, in the target's whitened principal components."""

    dimension: int  # leading components in which hulls are taken
    overlap: float  # V(set ∩ target) / V(target); at most 1, and 1 only where the set's hull holds the target's
    reached: float  # share of the target's environments with one of the set within a neighbour distance
    outside: float  # share of the set's environments that have none of the target within a neighbour distance
    unit: float  # that distance: nine of ten environments of the target have another one as near
    novelty: NDArray[np.float64]  # (n_set,) distance of each environment of the set to the target's nearest, in units
    entropy: float  # of the set's environments, over that of as many of the target: difference in nats; NaN of two
    diversity: float  # median distance of the set's environments to the nearest other one, in units; NaN of two

    def sentence(self) -> str:
        """The result in words."""
        side = "above" if self.entropy >= 0.0 else "below"
        spread = (
            f"; entropy {significant(abs(self.entropy), 3)} nats {side} the target's, "
            f"diversity {significant(self.diversity, 3)}"
        )
        return (
            f"V(set ∩ target) / V(target) = {significant(self.overlap, 3)} in {self.dimension} components; "
            f"{percent(self.reached)} of the target have one of the set within {significant(self.unit, 3)}, as near as "
            f"nine of ten of its own are to another; {percent(self.outside)} of the set have none of the target"
            f"{spread if np.isfinite(self.entropy) else ''}"
        )


def shared(target: NDArray[np.float64], chosen: NDArray[np.float64], components: Components, seed: int = 0) -> Shared:
    """Compare a set with its target, or with any reference.

    Parameters
    ----------
    target, chosen : (n, n_desc) environments
    components : the target's
    seed : of the draw of as many environments of the target for the entropy

    Raises
    ------
    InputError
        Fewer than three environments in the target, or most of them coincide.
    """
    target, chosen = checked_rows(target, "target"), checked_rows(chosen, "set")
    if len(target) < _FEW:
        raise InputError(f"target: three environments are needed to measure by, there are {len(target)}")
    theirs, ours = (project(components, rows) / np.sqrt(components.variances) for rows in (target, chosen))
    m = min(components.count, MOST_COMPONENTS)
    tree = cKDTree(theirs)
    unit = float(np.quantile(tree.query(theirs, k=2)[0][:, 1], 0.9))
    if unit <= _FLAT:
        raise InputError("target: nearly all of its environments coincide, so they have no distance to measure by")
    gaps, novelty = cKDTree(ours).query(theirs)[0], tree.query(ours)[0]
    count = min(len(ours), len(theirs))
    is_cloud = count >= _FEW
    drawn = theirs[np.random.default_rng([seed, count]).choice(len(theirs), count, replace=False)]
    return Shared(
        m,
        _overlap(theirs[:, :m], ours[:, :m]),
        float((gaps <= unit).mean()),
        float((novelty > unit).mean()),
        unit,
        novelty / unit,
        entropy(ours) - entropy(drawn) if is_cloud else np.nan,
        float(np.median(cKDTree(ours).query(ours, k=2)[0][:, 1])) / unit if is_cloud else np.nan,
    )


def entropy(points: NDArray[np.float64]) -> float:
    """Differential entropy in nats of the distribution that (n, k) points were drawn from, by nearest distances.

    Kozachenko and Leonenko, Probl. Inf. Transm. 23, 95 (1987). Points that coincide count as a billionth of the
    typical distance apart.
    """
    n, k = points.shape
    near = cKDTree(points).query(points, k=2)[0][:, 1]
    near = np.maximum(near, 1e-9 * max(float(near.mean()), 1e-300))
    ball = 0.5 * k * np.log(np.pi) - gammaln(0.5 * k + 1.0)
    return float(digamma(n) - digamma(1) + ball + k * np.log(near).mean())


def _overlap(target: NDArray[np.float64], chosen: NDArray[np.float64]) -> float:
    """Volume of the intersection of two hulls over that of the first."""
    if target.shape[1] == 1:
        low, high = max(target.min(), chosen.min()), min(target.max(), chosen.max())
        return max(0.0, float(high - low)) / max(float(np.ptp(target)), 1e-300)
    try:
        hulls = [ConvexHull(points, qhull_options="QJ") for points in (target, chosen)]
    except QhullError:
        return 0.0  # one of them is flat
    spans = np.concatenate([hull.equations for hull in hulls])
    # the centre of the largest ball inside both
    size = np.linalg.norm(spans[:, :-1], axis=1, keepdims=True)
    cost = np.zeros(spans.shape[1])
    cost[-1] = -1.0
    found = linprog(
        cost,
        A_ub=np.hstack([spans[:, :-1], size]),
        b_ub=-spans[:, -1],
        bounds=[*[(None, None)] * target.shape[1], (0, None)],
    )
    if not found.success or found.x[-1] <= _FLAT:
        return 0.0
    corners = HalfspaceIntersection(spans, found.x[:-1]).intersections
    return min(1.0, float(ConvexHull(corners, qhull_options="QJ").volume / hulls[0].volume))
