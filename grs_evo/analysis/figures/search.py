"""Figures of how the search went: convergence, operators, rejections, ancestors.

A history has one row per island and generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis.figures.figure import TARGET, Axis, Figure, Series, axis, counts, readable, thinned
from grs_evo.analysis.runs.convergence import Curve, bands, island_rows, moments_of
from grs_evo.analysis.runs.genealogy import Ancestor
from grs_evo.search.counters import evaluations_so_far
from grs_evo.search.population.individual import short_uid

History = Mapping[str, NDArray[Any]]

# Points of one line: more than a screen has columns to show.
_MOST = 600
# Islands drawn one by one; the rest only as the best of all.
_ISLANDS = 12


def convergence(history: History, away: bool = False, moving: bool = False) -> Figure | None:
    """Best loss so far against the evaluations of each island; the distance of the best where a search moves away.

    Parameters
    ----------
    away : the search moves away from the target
    moving : the target moves with what a round accepts
    """
    column = "best_structure" if away and "best_structure" in history else "best_value"
    if column not in history or not len(history["generation"]):
        return None
    rows = island_rows(history)
    order = np.concatenate(list(rows.values()))
    islands, count = np.asarray(history["island"]).astype(int)[order], evaluations_so_far(history)[order]
    best = np.asarray(history[column], dtype=np.float64)[order]
    label = "distance from the round’s target" if moving else "distance from the target" if away else "best loss"
    drawn, y = readable(label, best)
    series = []
    for k, island in enumerate(list(rows)[:_ISLANDS]):
        which = np.flatnonzero(islands == island)
        which = which[thinned(len(which), _MOST)]
        series.append(Series(f"island {island}", count[which], drawn[which], "steps", k))
    step = "up is a structure farther from the target" if away else "down is a better structure"
    caption = f"Each step {step}; every loss evaluation counts once, with or without gradient. "
    if len(rows) > _ISLANDS:
        caption += f"{len(rows)} islands searched, the first {_ISLANDS} are drawn. "
    if "round" in history and len(np.unique(history["round"])) > 1:
        caption += (
            "After each round the target moves to what was accepted, so each round begins anew."
            if moving
            else "Every round has a loss of its own, so each begins anew."
        )
    return Figure(
        "convergence",
        ("Distance" if column == "best_structure" else "Best loss") + " against evaluations",
        caption,
        series,
        _evaluations("evaluations of the island", count),
        y,
        {"island": islands, "evaluations": count, column: best},
    )


def _evaluations(title: str, count: NDArray[np.float64], log: bool | None = None) -> Axis:
    found = axis(title, count, log)
    return found if found.log is not None else counts(title, count)


def strategies(groups: Mapping[str, Sequence[Curve]], log: bool | None = None, reach: float | None = None) -> Figure:
    """Best loss against evaluations of many runs: medians with bands from the lower to the upper quartile (Fig. 3).

    Parameters
    ----------
    groups : the runs of each strategy
    log : evaluations on a logarithmic axis; None: where they span decades
    reach : loss to draw a line at
    """
    ends = np.concatenate([x[[0, -1]] for curves in groups.values() for x, _ in curves])
    x = _evaluations("loss evaluations", ends, log)
    found = {name: bands(curves, log=x.log is not None) for name, curves in groups.items()}
    stacks = [np.concatenate([one[key] for key in ("median", "low", "high")]) for one in found.values()]
    drawn, y = readable("best loss", np.append(np.concatenate(stacks), [reach] if reach is not None else []))
    parts = np.split(drawn, np.cumsum([len(one) for one in stacks]))
    series = []
    for k, (name, one, part) in enumerate(zip(found, found.values(), parts, strict=False)):
        median, low, high = part.reshape(3, -1)
        many = len(groups[name]) > 1
        label = f"{name} ({len(groups[name])} runs)" if many else name
        series.append(Series(label, one["evaluations"], median, "steps", k, band=(low, high) if many else None))
    if reach is not None:
        series.append(Series(f"loss {reach:g}", ends[[ends.argmin(), ends.argmax()]], [reach, reach], style=TARGET))
    columns: dict[str, list[object]] = {"strategy": [name for name in found for _ in found[name]["median"]]}
    for key in ("evaluations", "median", "low", "high", "runs"):
        columns[key] = [value for one in found.values() for value in one[key]]
    return Figure("convergence", "Best loss against evaluations", "", series, x, y, columns)


def per_generation(history: History, key: str, column: str, title: str, label: str, caption: str) -> Figure | None:
    """One column of the history over generations, a line per island."""
    if column not in history or not len(history["generation"]):
        return None
    values = np.asarray(history[column], dtype=np.float64)
    generations = np.unique(moments_of(history), return_inverse=True)[1]  # rounds one after another
    series = []
    for k, (island, which) in enumerate(list(island_rows(history).items())[:_ISLANDS]):
        which = which[thinned(len(which), _MOST)]
        series.append(Series(f"island {island}", generations[which], values[which], "steps", k))
    return Figure(
        key, title, caption, series, counts("generation", generations), Axis(label, from_zero=True),
        {"island": history["island"], "generation": generations, column: values}, height=300,
    )  # fmt: skip


def last_totals(history: History, prefix: str) -> dict[str, float]:
    """Sum over islands of the last value of each counter whose name starts with the prefix."""
    names = [name for name in history if name.startswith(prefix)]
    last = [which[-1] for which in island_rows(history).values()]
    return {name[len(prefix) :]: float(np.asarray(history[name])[last].sum()) for name in names}


def operators(history: History) -> Figure | None:
    """How often each operator was tried and how often it gave an improvement."""
    if not len(history["generation"]):
        return None
    tries, successes = last_totals(history, "tries_"), last_totals(history, "successes_")
    names = sorted((name for name in tries if tries[name] > 0), key=lambda name: tries[name])
    if not names:
        return None
    share = [100.0 * successes.get(name, 0.0) / tries[name] for name in names]
    notes = [f"{successes.get(name, 0):.0f} of {tries[name]:.0f}" for name in names]
    labels = [name.replace("_", " ") for name in names]
    return Figure(
        "operators",
        "Success of the operators",
        "Share of an operator’s tries that made a child better than its parents; the counts stand at the bars.",
        [Series("successes", share, labels, "bars", notes=notes, noted=True)],
        Axis("successful tries (%)", from_zero=True),
        Axis(),
        {
            "operator": names,
            "tries": [tries[name] for name in names],
            "successes": [successes.get(name, 0.0) for name in names],
        },
        across=True,
        height=80 + 34 * len(names),
    )


def rejections(history: History) -> Figure | None:
    """Why candidates were thrown away, per island."""
    if not len(history["generation"]):
        return None
    rows = island_rows(history)
    last = [which[-1] for which in rows.values()]
    every = {name: np.asarray(history[name], dtype=np.float64)[last] for name in history}
    found = {name: one for name, one in every.items() if name.startswith("rejected_") and one.sum() > 0}
    if not found:
        return None
    labels = [f"island {island}" for island in rows]
    return Figure(
        "rejections",
        "Candidates thrown away, and why",
        "Nothing fails silently: each rejected candidate is counted under its cause. “repeat” was evaluated before.",
        [Series(name.removeprefix("rejected_"), labels, one, "bars", k) for k, (name, one) in enumerate(found.items())],
        Axis(),
        counts("candidates", np.sum(list(found.values()), axis=0)),
        {"island": list(rows), **found},
        height=320,
    )


def family(found: Sequence[Ancestor]) -> Figure:
    """Ancestors as a tree, the youngest at the top, each first parent straight below its child.

    What is known of an ancestor stands to its right. Lines run down and sidewards between the rows, so that none
    crosses a text.
    """
    places = _places(found)
    x: list[float] = []
    y: list[float] = []
    leftmost = min(column for column, _ in places.values())
    for one in found:
        for parent in (uid for uid in one.parents if uid in places):
            (a, b), (c, d) = places[one.uid], places[parent]
            turn = b - 0.36 - 0.28 * a / min(leftmost, -1.0)  # a height of its own for each child of a row
            x += [a, a, c, c, np.nan]
            y += [b, turn, turn, d, np.nan]
    series = [Series("descent", x, y, style=TARGET, listed=False)]
    kinds = (("kept in the archive", True, True), ("remembered", False, True), ("no more than its name", False, False))
    for k, (name, kept, known) in enumerate(kinds):
        members = [one for one in found if (one.kept, one.known) == (kept, known)]
        if not members:
            continue
        at = np.array([places[one.uid] for one in members])
        notes = [_words(one) for one in members]
        series.append(Series(name, at[:, 0], at[:, 1], "points", k, 9.0, not kept, notes=notes, noted=True))
    names = ("uid", "depth", "kept", "known", "parents", "operator", "island", "generation", "value", "n_atoms")
    rows = [
        (one.uid, one.depth, int(one.kept), int(one.known), " ".join(map(str, one.parents)), one.operator, one.island,
         one.generation, one.value, one.n_atoms or "")
        for one in found
    ]  # fmt: skip
    table = dict(zip(names, zip(*rows, strict=True), strict=True))
    return Figure("genealogy", "Ancestors", "", series, Axis(bare=True), Axis(bare=True), table)


def _words(one: Ancestor) -> str:
    about = f" {one.operator}\ngeneration {one.generation}\n{one.value:.4g}" if one.known else ""
    return short_uid(one.uid) + about


def _places(found: Sequence[Ancestor]) -> dict[int, tuple[float, float]]:
    """Column and row of each ancestor by uid: lines of first parents are columns, the first of them the rightmost."""
    by_uid = {one.uid: one for one in found}
    places: dict[int, tuple[float, float]] = {}
    taken: list[set[int]] = []  # rows in use, column by column
    for one in found:
        line: list[Ancestor] = []
        member: Ancestor | None = one
        while member is not None and member.uid not in places and (not line or member.depth == line[-1].depth + 1):
            line.append(member)
            member = by_uid.get(member.parents[0]) if member.parents else None
        rows = {ancestor.depth for ancestor in line}
        column = next((k for k, used in enumerate(taken) if not used & rows), len(taken))
        if column == len(taken):
            taken.append(set())
        taken[column] |= rows
        places |= {ancestor.uid: (-float(column), -float(ancestor.depth)) for ancestor in line}
    return places
