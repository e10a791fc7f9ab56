"""Figures of g(r) and bond angles beside the target's, with the scatter of as many environments of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from grs_evo.analysis.figures.figure import TARGET, Axis, Figure, Series
from grs_evo.observables.quality import Quality
from grs_evo.observables.record import Curve


def curve_figures(curves: Sequence[Curve], found: Quality, name: str, most: int) -> list[tuple[str, list[Figure]]]:
    """Each observable that has curves, with a figure of each of its subjects, the largest deviations first.

    Parameters
    ----------
    name : what the structure or set is called
    most : figures of one observable; of more subjects the last figure offers the others to choose from
    """
    excess: dict[tuple[str, str], float] = {}
    for row in found.rows:
        key = (row.observable, row.subject)
        excess[key] = max(excess.get(key, 0.0), row.excess)
    result = []
    for observable, group in groupby(curves, key=lambda one: one.observable):
        ordered = sorted(group, key=lambda one: -excess.get((one.observable, one.subject), 0.0))
        mark = re.sub("[^a-z0-9]+", "-", observable.lower())
        figures = [_figure(one, f"{mark}-{k}", name, k == 1) for k, one in enumerate(ordered, 1)]
        if len(figures) > most:
            figures = [*figures[: most - 1], _choice(figures[most - 1 :], f"{mark}-any")]
        result.append((observable, figures))
    return result


def _figure(curve: Curve, key: str, name: str, listed: bool) -> Figure:
    low, high = np.maximum(curve.target - curve.scatter, 0.0), curve.target + curve.scatter
    return Figure(
        key,
        curve.subject,
        "",
        [
            Series("target and its scatter", curve.x, curve.target, style=TARGET, band=(low, high), listed=listed),
            Series(name, curve.x, curve.value, listed=listed),
        ],
        Axis(curve.x_title),
        Axis(curve.y_title, from_zero=True),
        {"x": curve.x, "value": curve.value, "target": curve.target, "scatter": curve.scatter},
        height=250,
    )


def _choice(figures: Sequence[Figure], key: str) -> Figure:
    """The first of some figures, the others to choose from."""
    first = figures[0]
    return Figure(
        key, "Any other", first.caption, first.series, first.x, first.y,
        {
            "subject": [one.title for one in figures for _ in one.table["x"]],
            **{column: np.concatenate([np.asarray(one.table[column]) for one in figures]) for column in first.table},
        },
        height=300,
        choices=figures,
    )  # fmt: skip
