"""Plots of how the search went: from the history columns of the archive, one row per island and generation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.runs.convergence import island_rows, moments_of, spent
from grs_evo.report.plots.plot import N_COLOURS, PATTERNS, Plot, axis, count_axis, line, plain, rounded, thinned

History = Mapping[str, NDArray]

# Points of one line: more than a screen has columns to show.
_MOST = 600
# Islands drawn one by one; the rest only as the best of all.
_ISLANDS = 12


def convergence(history: History, away: bool = False, moving: bool = False) -> Plot | None:
    """Best loss so far against the evaluations of each island; the distance of the best where a search moves away.

    Parameters
    ----------
    away : the search moves away from the target
    moving : the target moves with what a round accepts
    """
    column = "best_structure" if away and "best_structure" in history else "best_value"
    if column not in history or not len(history["generation"]):
        return None
    best, count = np.asarray(history[column], dtype=np.float64), spent(history)
    rows = island_rows(history)
    traces, island_column, x_column, y_column = [], [], [], []
    values = []
    rounds = len(np.unique(history["round"])) if "round" in history else 1
    for k, (island, which) in enumerate(rows.items()):
        x, y = count[which], best[which]
        island_column += [island] * len(which)
        x_column.append(x)
        y_column.append(y)
        if k >= _ISLANDS:
            continue
        keep = thinned(len(which), _MOST)
        values.append(y[keep])
        lines = line(k, f"island {island}", x[keep], y[keep], legendgroup=str(island))
        lines["line"] |= {"shape": "hv"}
        traces.append(lines)
    step = "up is a structure farther from the target" if away else "down is a better structure"
    if rounds < 2:
        anew = ""
    elif moving:
        anew = "After each round the target moves to what was accepted, so each round begins anew."
    else:
        anew = "Every round has a loss of its own, so each begins anew."
    label = "distance from the round’s target" if moving else "distance from the target" if away else "best loss"
    return Plot(
        "convergence",
        ("Distance" if column == "best_structure" else "Best loss") + " against evaluations",
        f"Each step {step}; every loss evaluation counts once, with or without gradient. "
        + (f"{len(rows)} islands searched, the first {_ISLANDS} are drawn. " if len(rows) > _ISLANDS else "")
        + anew,
        traces,
        {
            "xaxis": count_axis("evaluations of the island", count),
            "yaxis": axis(label, np.concatenate(values)),
            "showlegend": len(rows) > 1,
        },
        {"island": island_column, "evaluations": np.concatenate(x_column), column: np.concatenate(y_column)},
    )


def per_generation(history: History, key: str, column: str, title: str, label: str, caption: str) -> Plot | None:
    """One column of the history over generations, a line per island."""
    if column not in history or not len(history["generation"]):
        return None
    values = np.asarray(history[column], dtype=np.float64)
    generations = np.unique(moments_of(history), return_inverse=True)[1]  # rounds one after another
    traces = []
    for k, (island, which) in enumerate(island_rows(history).items()):
        if k >= _ISLANDS:
            break
        which = which[thinned(len(which), _MOST)]
        steps = line(k, f"island {island}", generations[which], values[which])
        steps["line"] |= {"shape": "hv"}
        traces.append(steps)
    return Plot(
        key,
        title,
        caption,
        traces,
        {
            "xaxis": count_axis("generation", generations),
            "yaxis": axis(label, rangemode="tozero"),
            "showlegend": len(traces) > 1,
        },
        {"island": history["island"], "generation": generations, column: values},
        height=300,
    )


def last_totals(history: History, prefix: str) -> dict[str, float]:
    """Sum over islands of the last value of each counter whose name starts with the prefix."""
    names = [name for name in history if name.startswith(prefix)]
    last = [which[-1] for which in island_rows(history).values()]
    return {name[len(prefix) :]: float(np.asarray(history[name])[last].sum()) for name in names}


def operators(history: History) -> Plot | None:
    """How often each operator was tried and how often it gave an improvement."""
    if not len(history["generation"]):
        return None
    tries, successes = last_totals(history, "tries_"), last_totals(history, "successes_")
    names = sorted((name for name in tries if tries[name] > 0), key=lambda name: tries[name])
    if not names:
        return None
    share = [100.0 * successes.get(name, 0.0) / tries[name] for name in names]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "x": rounded(share),
            "y": [plain(name.replace("_", " ")) for name in names],
            "text": [f"{successes.get(name, 0):.0f} of {tries[name]:.0f}" for name in names],
            # Beside a short bar, within a long one.
            "textposition": ["inside" if 2 * part > max(share) else "outside" for part in share],
            "cliponaxis": False,
            "marker": {"color": "@c0"},
            "hovertemplate": "%{y}: %{x:.3g} % of %{text}<extra></extra>",
        }
    ]
    return Plot(
        "operators",
        "Success of the operators",
        "Share of an operator’s tries that made a child better than its parents; the counts stand at the bars.",
        traces,
        {
            "xaxis": axis("successful tries (%)", rangemode="tozero"),
            "yaxis": {"automargin": True},
            "showlegend": False,
            "bargap": 0.3,
        },
        {
            "operator": names,
            "tries": [tries[name] for name in names],
            "successes": [successes.get(name, 0.0) for name in names],
        },
        height=80 + 34 * len(names),
    )


def rejections(history: History) -> Plot | None:
    """Why candidates were thrown away, per island."""
    if not len(history["generation"]):
        return None
    names = [name for name in history if name.startswith("rejected_")]
    rows = island_rows(history)
    counts = {
        name: np.array([float(np.asarray(history[name])[which[-1]]) for which in rows.values()]) for name in names
    }
    names = [name for name in names if counts[name].sum() > 0]
    if not names:
        return None
    labels = [f"island {island}" for island in rows]
    traces = [
        {
            "type": "bar",
            "name": name.removeprefix("rejected_"),
            "x": labels,
            "y": rounded(counts[name]),
            "marker": {
                "color": f"@c{k % N_COLOURS}",
                "pattern": {
                    "shape": PATTERNS[k % len(PATTERNS)],
                    "bgcolor": f"@c{k % N_COLOURS}",
                    "fgcolor": "@paper",
                    "solidity": 0.25,
                },
            },
        }
        for k, name in enumerate(names)
    ]
    return Plot(
        "rejections",
        "Candidates thrown away, and why",
        "Nothing fails silently: each rejected candidate is counted under its cause. “repeat” was evaluated before.",
        traces,
        {
            "barmode": "stack",
            "xaxis": {"automargin": True},
            "yaxis": count_axis("candidates", sum(counts.values())),
            "showlegend": True,
        },
        {"island": list(rows), **{name: counts[name] for name in names}},
        height=320,
    )
