"""Figures of environments beside the target's: distributions of single functions, moments, coverage, maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from grs_evo.analysis.distributions.components import Components, project
from grs_evo.analysis.distributions.coverage import Coverage
from grs_evo.analysis.distributions.distances import MomentDistances
from grs_evo.analysis.distributions.histograms import Histograms
from grs_evo.analysis.figures.figure import TARGET, Axis, Figure, Series, axis, counts, thinned
from grs_evo.analysis.notation import significant
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure

# Points drawn of a cloud; the table holds all of them.
_CLOUD = 1500
# Functions drawn by their distance.
_FUNCTIONS = 400

Cloud = tuple[str, NDArray[np.float64]]  # name, (n, n_func) environments or (n, 2) places
Growth = Sequence[tuple[int, int, Coverage]]  # structures, environments, and the coverage of so many


# ---------------------------------------------------------------------------------------------------------------------
# single functions


def function_distances(found: Histograms, labels: Sequence[str], name: str) -> Figure:
    """The distance of every function's distribution from the target's."""
    order = np.argsort(-found.wasserstein, kind="stable")
    shown = order[:_FUNCTIONS]
    rank = np.arange(1, len(shown) + 1)
    distances = found.wasserstein[shown]
    # A bar has no foot on a logarithmic axis: points where the distances span decades.
    y = axis("distance (σ of the target)", distances)
    draw = "bars" if y.log is None else "points"
    return Figure(
        "functions",
        "Distance of every function",
        f"Earth mover’s distance between the {name} and the target for each descriptor function, in standard "
        "deviations of the target, largest first."
        + ("" if len(shown) == len(order) else f" The {len(shown)} largest of {len(order)}."),
        [Series("distance", rank, distances, draw, size=4.0, notes=[labels[k] for k in shown])],  # type: ignore[arg-type]
        counts("function, by distance", len(shown) + np.zeros(1)),
        y if y.log is not None else Axis(y.title, from_zero=True),
        {
            "function": [labels[k] for k in order],
            "wasserstein_sigma": found.wasserstein[order],
            "ks": found.ks[order],
            "sigma": found.scale[order],
        },
        height=300,
    )


def histogram(sets: Sequence[tuple[str, Histograms]], k: int, label: str, rank: int = 1) -> Figure:
    """The distribution of one function over the target and over sets; the `rank`-th of a row of such figures."""
    (_, first), one = sets[0], rank == 1
    series = [_shares("target", first.edges[k], first.target[k], TARGET, one)]
    series += [_shares(name, found.edges[k], found.chosen[k], j, one) for j, (name, found) in enumerate(sets)]
    distance = f"distance {significant(first.wasserstein[k], 3)} σ, KS {significant(first.ks[k], 3)}"
    return Figure(
        f"histogram-{rank}",
        label,
        distance if len(sets) == 1 else "",
        series,
        Axis("value of the function"),
        Axis("share of environments", from_zero=True),
        {"low": first.edges[k][:-1], "high": first.edges[k][1:], "target": first.target[k], "set": first.chosen[k]},
        height=230,
    )


def _shares(name: str, edges: NDArray[np.float64], shares: NDArray[np.float64], style: int, listed: bool) -> Series:
    heights = np.append(shares, shares[-1])  # a step ends at an edge
    return Series(name, edges, heights, "steps", style, filled=style == TARGET, listed=listed)


def histogram_choice(found: Histograms, ranks: NDArray[np.int64], labels: Sequence[str], name: str) -> Figure:
    """The distribution of any one of many functions, `ranks` being their numbers in the order to offer them."""
    choices = [histogram([(name, found)], int(k), labels[k]) for k in ranks]
    bins = found.target.shape[1]
    return Figure(
        "histogram-any", "Any other function", choices[0].caption, choices[0].series, choices[0].x, choices[0].y,
        {
            "function": [labels[k] for k in ranks for _ in range(bins)],
            "low": found.edges[ranks, :-1].ravel(),
            "high": found.edges[ranks, 1:].ravel(),
            "target": found.target[ranks].ravel(),
            "set": found.chosen[ranks].ravel(),
        },
        height=300,
        choices=choices,
    )  # fmt: skip


def distribution(title: str, rows: Mapping[str, NDArray[np.float64]], bins: int = 24) -> Figure:
    """Histograms of one quantity over the target, named first, and over others."""
    edges = np.histogram_bin_edges(np.concatenate(list(rows.values())), bins)
    series = [
        _shares(name, edges, np.histogram(values, edges)[0] / len(values), k or TARGET, True)
        for k, (name, values) in enumerate(rows.items())
    ]
    return Figure(
        "distribution", "distribution", "", series, Axis(title), Axis("share of environments", from_zero=True)
    )


# ---------------------------------------------------------------------------------------------------------------------
# moments


def differences(found: MomentDistances, noise: MomentDistances | None) -> list[Figure]:
    """Differences of the means and of the variances, by function, beside those of random halves of the target."""
    figures = []
    for title, unit, values, floor in (
        ("means", "σ", found.first / found.scale, noise.first / noise.scale if noise else None),
        ("variances", "σ²", found.second / found.scale**2, noise.second / noise.scale**2 if noise else None),
    ):
        order = np.argsort(-values, kind="stable")
        rank = np.arange(1, len(order) + 1)
        every = values if floor is None else np.concatenate([values, floor])
        series = [
            Series("difference", rank, values[order], "joined", size=3.0),
            Series(f"mean {values.mean():.3g}", [1, len(order)], [values.mean()] * 2, style=1),
        ]
        if floor is not None:
            series.insert(0, Series("halves of the target", rank, floor[order], style=TARGET))
            series.append(Series(f"their mean {floor.mean():.3g}", [1, len(order)], [floor.mean()] * 2, style=2))
        y = axis(f"difference of the {title} ({unit})", every[every > 0], from_zero=not (every > 0).any())
        figures.append(Figure(title, title.capitalize(), "", series, counts("function, by difference", rank), y))
    return figures


# ---------------------------------------------------------------------------------------------------------------------
# clouds in a plane


def plane(components: Components, target: NDArray[np.float64], clouds: Sequence[Cloud], caption: str = "") -> Figure:
    """Target and sets in the two widest principal components of the target, with their hulls in that plane."""
    places = []
    for name, rows in (("target", target), *clouds):
        at = project(components, rows)[:, :2]
        places.append((name, at if at.shape[1] == 2 else np.column_stack([at, np.zeros(len(at))])))
    series = []
    for k, (name, at) in enumerate(places):
        shown = at[thinned(len(at), _CLOUD)]
        style, size, opacity = (k - 1, 6.0, 0.85) if k else (TARGET, 4.0, 0.45)
        series.append(Series(name, shown[:, 0], shown[:, 1], "points", style, size, opacity=opacity))
        hull = _outline(at)
        series.append(Series(name, hull[:, 0], hull[:, 1], "line", style, listed=False))
    together = np.concatenate([at for _, at in places])
    owner = [name for name, at in places for _ in at]
    return Figure(
        "coverage",
        "Coverage in the target’s principal components",
        caption,
        series,
        Axis("first principal component"),
        Axis("second principal component" if components.count > 1 else "(there is no second one)"),
        {"set": owner, "pc1": together[:, 0], "pc2": together[:, 1]},
        height=460,
    )


def _outline(cloud: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the hull of points in a plane, closed; the points' own range where they lie on a line."""
    try:
        corners: NDArray[np.int64] = ConvexHull(cloud).vertices
    except (QhullError, ValueError):
        corners = np.lexsort(cloud.T[::-1])[[0, -1]]
        return cloud[corners]
    closed: NDArray[np.float64] = cloud[np.append(corners, corners[0])]
    return closed


def embedding(clouds: Sequence[Cloud]) -> Figure:
    """Sets of environments placed in one plane."""
    series = [
        Series(f"{name} ({len(at)})", at[:, 0], at[:, 1], "points", k, 3.0 if len(at) > 300 else 5.0, opacity=0.6)
        for k, (name, at) in enumerate(clouds)
    ]
    return Figure("embedding", "t-SNE", "", series, Axis("t-SNE 1", bare=True), Axis("t-SNE 2", bare=True))


def growth(sets: Sequence[tuple[str, Growth]]) -> Figure | None:
    """V_rep of the first n structures of sets; None where no set has more than one.

    In the leading components where the estimate in all of them tells nothing. Of a set alone the share of the target
    inside its hull stands beside it.
    """
    if all(len(rows) < 2 for _, rows in sets):
        return None
    every = [one for _, rows in sets for _, _, one in rows]
    told = all(one.is_told for one in every)
    where = "" if told else f" in the first {every[0].exact_dimension} components"
    series = []
    for k, (name, rows) in enumerate(sets):
        count = [row[0] for row in rows]
        shares = [one.v_rep if told else one.exact for _, _, one in rows]
        series.append(Series(f"V_rep{where}" if len(sets) == 1 else name, count, shares, "joined", k))
    if len(sets) == 1:
        series.append(Series("target inside", count, [one.inside for one in every], "joined", 1))
    count = [row[0] for _, rows in sets for row in rows]
    return Figure(
        "growth",
        "Coverage as the set grows",
        f"V_rep (eq. 18){where} and the share of the target’s environments in the hull, for the first structures of "
        "the set.",
        series,
        counts("structures in the set", count) if max(count) <= 50 else axis("structures in the set", count),
        Axis("share" if len(sets) == 1 else f"V_rep{where}", from_zero=True),
        growth_table(sets),
        height=460,
    )


def growth_table(sets: Sequence[tuple[str, Growth]]) -> dict[str, list[object]]:
    """One row for each size of each set."""
    rows = [(name, *row) for name, grown in sets for row in grown]
    columns: dict[str, list[object]] = {"set": [row[0] for row in rows], "structures": [row[1] for row in rows]}
    columns["environments"] = [row[2] for row in rows]
    for name in ("v_rep", "factor", "method", "dimension", "variance", "exact_dimension", "exact", "inside", "beyond"):
        columns["v_rep_exact" if name == "exact" else name] = [getattr(row[3], name) for row in rows]
    return columns


# ---------------------------------------------------------------------------------------------------------------------
# distances between atoms


def pair_distribution(structures: Mapping[str, Structure], reach: float, bins: int = 80) -> Figure:
    """g(r) up to `reach` Å: pairs per shell over those of an ideal gas of the same density.

    Smoothed over a width of 0.1 Å, beyond which a small cell's few distances are single peaks.
    """
    edges = np.linspace(0.0, reach, bins + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    series, columns = [], {"distance": middle}
    for k, (name, structure) in enumerate(structures.items()):
        found = np.linalg.norm(neighbours(structure, reach + 4 * _SMOOTH).vectors, axis=1)
        pairs = np.zeros(bins)
        for part in np.array_split(found, max(1, len(found) // 10_000)):
            pairs += np.exp(-0.5 * ((middle[:, None] - part) / _SMOOTH) ** 2).sum(axis=1)
        pairs /= _SMOOTH * np.sqrt(2 * np.pi)
        density = structure.n_atoms / structure.volume
        columns[name] = pairs / (structure.n_atoms * density * 4 * np.pi * middle**2)
        series.append(Series(name, middle, columns[name], style=k))
    return Figure(
        "pair-distribution", "pair distribution", "", series, Axis("distance (Å)"),
        Axis("g(r)", from_zero=True), columns,
    )  # fmt: skip


_SMOOTH = 0.1  # Å, standard deviation
