"""Plots of what was found: the front, the distributions, and the coverage of the target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from grs_evo.analysis import Components, Coverage, Histograms, hypervolume_over_generations, pareto_front, project
from grs_evo.report import formatting as words
from grs_evo.report.plots.plot import (
    N_COLOURS,
    SYMBOLS,
    Plot,
    axis,
    base_of,
    count_axis,
    line,
    plain,
    points,
    rounded,
    thinned,
)
from grs_evo.search.population.individual import Individual, short_uid

# Points drawn of a cloud; the CSV holds all of them.
_CLOUD = 1500
_FRONT = 1500
# Losses below this are those of an exact match.
_EXACT = 1e-10


def front(individuals: Sequence[Individual], objectives: NDArray[np.float64], names: Sequence[str]) -> Plot | None:
    """The first two losses against each other, with the size of the cell in the symbol."""
    if not len(individuals) or not len(names):
        return None
    on_front = pareto_front(objectives)
    atoms = np.array([one.structure.n_atoms for one in individuals])
    columns: dict[str, Iterable[object]] = {
        "uid": [one.uid for one in individuals],
        "n_atoms": atoms,
        "on_front": on_front.astype(int),
        **{name: objectives[:, k] for k, name in enumerate(names)},
    }
    losses = [k for k, name in enumerate(names) if name not in ("n_atoms", "cost")] or [0]
    sized = [k for k, name in enumerate(names) if name in ("n_atoms", "cost")]
    if len(losses) > 1:
        first, second = losses[0], losses[1]
    elif sized and sized[0] != losses[0]:
        first, second = sized[0], losses[0]
    else:
        first = second = losses[0]
    x = objectives[:, first] if first != second else atoms.astype(float)
    x_name = names[first] if first != second else "n_atoms"
    y, y_name = objectives[:, second], names[second]
    # What rounding leaves of an exact match is a zero, not fourteen decades of axis.
    x, y = np.where(np.abs(x) < _EXACT, 0.0, x), np.where(np.abs(y) < _EXACT, 0.0, y)
    (x, x_words), (y, y_words) = _readable(x, x_name), _readable(y, y_name)
    shown = np.concatenate([np.flatnonzero(on_front), np.flatnonzero(~on_front)])[:_FRONT]
    sizes = np.unique(atoms)
    groups = [atoms == size for size in sizes] if len(sizes) <= 6 else _size_groups(atoms)
    traces = []
    for k, group in enumerate(groups):
        for of_front in (True, False):
            which = shown[group[shown] & (on_front[shown] == of_front)]
            if not len(which):
                continue
            low, high = atoms[group].min(), atoms[group].max()
            label = f"{low} atoms" if low == high else f"{low}–{high} atoms"
            open_symbol = "" if of_front else "-open"
            traces.append(
                points(
                    k,
                    label,
                    x[which],
                    y[which],
                    size=10 if of_front else 7,
                    legendgroup=label,
                    showlegend=of_front or not (on_front & group).any(),
                    marker={"symbol": SYMBOLS[k % len(SYMBOLS)] + open_symbol, "color": f"@c{k % N_COLOURS}"},
                    text=[f"uid {short_uid(individuals[i].uid)}, {atoms[i]} atoms" for i in which],
                    hovertemplate="%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
                )
            )
    left = len(individuals) - len(shown)
    return Plot(
        "pareto",
        "Pareto front",
        "Filled symbols: nothing in the archive is lower in all objectives "
        f"({', '.join(words.objective(name) for name in names)}). Open symbols are kept for their low total loss."
        + (f" {words.whole(left)} more are in the data." if left else ""),
        traces,
        {
            "xaxis": axis(plain(x_words), x[shown], log=False if x_name == "n_atoms" else None),
            "yaxis": axis(plain(y_words), y[shown]),
            "showlegend": len(traces) > 1,
        },
        columns,
        height=420,
    )


def _readable(values: NDArray[np.float64], name: str) -> tuple[NDArray[np.float64], str]:
    """Values and the title of their axis, from which what they have in common is taken off where it hides the rest."""
    base = base_of(values)
    title = words.objective(name)
    return (values - base, f"{title} − {words.significant(base, 7)}") if base else (values, title)


def _size_groups(atoms: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Up to six ranges of cell sizes with about as many structures each."""
    edges = np.unique(np.quantile(atoms, np.linspace(0, 1, 7)[1:-1]).round())
    group = np.searchsorted(edges, atoms)
    return [group == k for k in np.unique(group)]


def cost(individuals: Sequence[Individual]) -> Plot | None:
    """The lowest loss of each cell size: what more atoms buy (Fig. 4)."""
    atoms = np.array([one.structure.n_atoms for one in individuals])
    sizes = np.unique(atoms)
    if len(sizes) < 2:
        return None
    values = np.array([one.value for one in individuals])
    best = np.array([values[atoms == size].min() for size in sizes])
    trace = line(0, "best", sizes, best, mode="lines+markers")
    trace["marker"] = {"size": 9, "symbol": "circle"}
    return Plot(
        "cost",
        "What more atoms buy",
        "Lowest loss of each cell size. The cost of a DFT calculation grows about as the cube of the number of atoms.",
        [trace],
        {"xaxis": axis("atoms in the cell"), "yaxis": axis("lowest loss", best), "showlegend": False},
        {"n_atoms": sizes, "relative_cost": (sizes / sizes[0]) ** 3.0, "best_value": best},
        height=300,
    )


def worth(individuals: Sequence[Individual], objectives: NDArray[np.float64]) -> Plot | None:
    """Hypervolume of the front over the generations."""
    generations = np.array([one.generation for one in individuals])
    # Above four objectives the exact volume takes longer than it is worth.
    if len(np.unique(generations)) < 2 or not 1 <= objectives.shape[1] <= 4:
        return None
    when, share = hypervolume_over_generations(generations, objectives, steps=60)
    trace = line(0, "hypervolume", when, share)
    trace["line"] |= {"shape": "hv"}
    return Plot(
        "hypervolume",
        "Hypervolume over the generations",
        "How much of the final front stood by each generation (1 is the end). Before the last one this is a lower "
        "bound: the archive keeps what nothing beats, and has let go what was on the front once. A line still rising "
        "says: search on.",
        [trace],
        {
            "xaxis": count_axis("generation", when, from_zero=False),
            "yaxis": axis("share of the final hypervolume", rangemode="tozero"),
            "showlegend": False,
        },
        {"generation": when, "share": share},
        height=300,
    )


def function_distances(found: Histograms, labels: Sequence[str], name: str) -> Plot:
    """The distance of every function's distribution from the target's."""
    order = np.argsort(-found.wasserstein, kind="stable")
    shown = order[:400]
    trace = {
        "type": "bar",
        "x": list(range(1, len(shown) + 1)),
        "y": rounded(found.wasserstein[shown]),
        "text": [plain(labels[k]) for k in shown],
        "textposition": "none",
        "hovertemplate": "%{text}<br>%{y:.3g}<extra></extra>",
        "marker": {"color": "@c0"},
    }
    return Plot(
        "functions",
        "Distance of every function",
        f"Earth mover’s distance between the {name} and the target for each descriptor function, in standard "
        "deviations of the target, largest first."
        + ("" if len(shown) == len(order) else f" The {len(shown)} largest of {len(order)}."),
        [trace],
        {
            "xaxis": count_axis("function, by distance", len(shown)),
            "yaxis": axis("distance (σ of the target)", rangemode="tozero"),
            "showlegend": False,
            "bargap": 0.15,
        },
        {
            "function": [labels[k] for k in order],
            "wasserstein_sigma": found.wasserstein[order],
            "ks": found.ks[order],
            "sigma": found.scale[order],
        },
        height=300,
    )


def histogram(found: Histograms, k: int, label: str, name: str, rank: int) -> Plot:
    """The distribution of one function over target and set."""
    edges = found.edges[k]
    heights = [np.append(shares[k], shares[k, -1]) for shares in (found.target, found.chosen)]  # a step ends at an edge
    steps = {"shape": "hv", "width": 2}
    target = {
        "type": "scatter", "mode": "lines", "name": "target", "x": rounded(edges), "y": rounded(heights[0]),
        "fill": "tozeroy", "fillcolor": "@fill", "line": {**steps, "color": "@muted"},
    }  # fmt: skip
    chosen = {
        "type": "scatter", "mode": "lines", "name": plain(name), "x": rounded(edges), "y": rounded(heights[1]),
        "line": {**steps, "color": "@c0", "dash": "dash"},
    }  # fmt: skip
    return Plot(
        f"histogram-{rank}",
        label,
        f"distance {words.significant(found.wasserstein[k], 3)} σ, KS {words.significant(found.ks[k], 3)}",
        [target, chosen],
        {
            "xaxis": {"automargin": True, "nticks": 4, "exponentformat": "power"},
            "yaxis": {"automargin": True, "nticks": 4, "rangemode": "tozero"},
            "showlegend": rank == 1,
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            "margin": {"t": 30},
        },
        {"low": edges[:-1], "high": edges[1:], "target": found.target[k], "set": found.chosen[k]},
        height=220,
    )


def chooser(found: Histograms, ranks: NDArray[np.int64], labels: Sequence[str], name: str) -> Plot:
    """The distribution of any one of many functions, `ranks` being their numbers in the order to offer them."""
    plots = [histogram(found, int(k), labels[k], name, 1) for k in ranks]
    bins = found.target.shape[1]
    return Plot(
        "histogram-any",
        "Any other function",
        plots[0].caption,
        plots[0].traces,
        plots[0].layout,
        {
            "function": [labels[k] for k in ranks for _ in range(bins)],
            "low": found.edges[ranks, :-1].ravel(),
            "high": found.edges[ranks, 1:].ravel(),
            "target": found.target[ranks].ravel(),
            "set": found.chosen[ranks].ravel(),
        },
        height=300,
        choices=[(plot.title, plot.caption, plot.traces) for plot in plots],
    )


def _outline(cloud: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the hull of points in a plane, closed; the points' own range where they lie on a line."""
    try:
        corners = ConvexHull(cloud).vertices
    except (QhullError, ValueError):
        order = np.lexsort(cloud.T[::-1])
        return cloud[[order[0], order[-1]]]
    return cloud[np.append(corners, corners[0])]


def plane(components: Components, target: NDArray, clouds: Sequence[tuple[str, NDArray]], sentence: str) -> Plot:
    """Target and sets in the two widest principal components of the target, with their hulls in that plane."""
    places = [("target", project(components, target)), *((name, project(components, rows)) for name, rows in clouds)]
    traces, owner, coordinates = [], [], []
    for k, (name, cloud) in enumerate(places):
        if cloud.shape[1] == 1:
            cloud = np.concatenate([cloud, np.zeros_like(cloud)], axis=1)
        cloud = cloud[:, :2]
        owner += [name] * len(cloud)
        coordinates.append(cloud)
        shown = cloud[thinned(len(cloud), _CLOUD)]
        style = {"color": "@muted", "opacity": 0.45} if k == 0 else {"opacity": 0.85}
        symbol = {"symbol": "circle" if k == 0 else SYMBOLS[k % len(SYMBOLS)]}
        traces.append(
            points(
                max(0, k - 1),
                name,
                shown[:, 0],
                shown[:, 1],
                size=4 if k == 0 else 6,
                marker=style | symbol,
                hoverinfo="skip",
            )
        )
        hull = _outline(cloud)
        edge = line(max(0, k - 1), f"hull of the {name}", hull[:, 0], hull[:, 1], hoverinfo="skip")
        edge["line"] |= {"color": "@muted"} if k == 0 else {}
        edge["line"] |= {"dash": "solid" if k == 0 else "dash", "width": 1.5}
        traces.append(edge)
    together = np.concatenate(coordinates)
    return Plot(
        "coverage",
        "Coverage in the target’s principal components",
        sentence,
        traces,
        {
            "xaxis": axis("first principal component", zeroline=False),
            "yaxis": axis(
                "second principal component" if components.count > 1 else "(there is no second one)", zeroline=False
            ),
        },
        {"set": owner, "pc1": together[:, 0], "pc2": together[:, 1]},
        height=460,
    )


def growth(rows: Sequence[tuple[int, int, Coverage]]) -> Plot | None:
    """V_rep of the first n structures of the set; None for a single one.

    In the leading components where the estimate in all of them tells nothing.
    """
    if len(rows) < 2:
        return None
    count, environments = (np.array(column, dtype=float) for column in list(zip(*rows, strict=True))[:2])
    found = [one for _, _, one in rows]
    told = all(one.is_told for one in found)
    v_rep = np.array([one.v_rep for one in found])
    exact, inside = np.array([one.exact for one in found]), np.array([one.inside for one in found])
    where = "" if told else f" in the first {found[0].exact_dimension} components"
    hull = line(0, f"V_rep{where}", count, v_rep if told else exact, mode="lines+markers")
    share = line(1, "target inside", count, inside, mode="lines+markers")
    return Plot(
        "growth",
        "Coverage as the set grows",
        f"V_rep (eq. 18){where} and the share of the target’s environments in the hull, for the first structures of "
        "the set.",
        [hull, share],
        {"xaxis": count_axis("structures", count), "yaxis": axis("share", rangemode="tozero"), "showlegend": True},
        {"structures": count, "environments": environments, "v_rep": v_rep, "factor": [one.factor for one in found],
         "v_rep_exact": exact, "inside": inside},
        height=460,
    )  # fmt: skip


def acceptance(losses: Sequence[float] | NDArray[np.float64], away: bool) -> Plot | None:
    """The loss of a set after each of its structures; where a search moves away how far each is from the target."""
    if len(losses) < 2:
        return None
    count = np.arange(1, len(losses) + 1)
    y = np.asarray(losses, dtype=np.float64)
    base = base_of(y)
    y_words = "distance from the target" if away else "set loss"
    y_words += f" − {words.significant(base, 7)}" if base else ""
    trace = line(0, "set", count, y - base, mode="lines+markers" if len(y) <= 60 else "lines")
    if away:
        caption = (
            "Structure loss of each accepted structure against the target as it was given, in order of acceptance."
        )
    else:
        caption = (
            "Loss of the whole set after each structure was added. It may rise for a while where the run allows slack."
        )
    return Plot(
        "acceptance",
        "How far each accepted structure lies" if away else "Set loss as the set grew",
        caption,
        [trace],
        {"xaxis": count_axis("structures" if not away else "structure", count, from_zero=False),
         "yaxis": axis(y_words, y - base, rangemode="normal" if base else "tozero"), "showlegend": False},
        {"structure": count, "distance" if away else "set_loss": y},
        height=300,
    )  # fmt: skip
