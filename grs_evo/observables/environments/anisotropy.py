"""Whether bonds along one direction are longer, or more, than along another: what distances and angles cannot tell.

Two tensors of the bonds up to the target's first minima, both read by their eigenvalues, so that it does not matter how
a structure is turned. One is the strain of the structure against a target without a direction, estimated from where
pairs of each direction stand on the slopes of g(r) (`counting.shells`). The other is the shape of each pair's first
shell, √(3 λ) of Σ v v / Σ v²: 1 along all directions where neighbours are spread evenly.

A structure has as many independent environments as half of its atoms, since each bond is seen from both of its ends.
What it is compared with is what so many of one of the target's structures show: small cells lean to some side by
chance, a slab or an hcp crystal by nature, and structures of a target may be turned to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison

Array = NDArray[np.float64]

LIMIT = 2.0  # medians of what as many environments differ by
_LEAST = 0.01  # what nobody would call a difference
_BEYOND = 1.2
_DRAWS = 120
_MOST = 1000  # environments of an element in a draw; more scatter less, by the root of their number
_STRUCTURES = 24  # of a set or of a target, spread evenly
_SEED = 41


class _Sums(NamedTuple):
    """Per element of the centre, sums over the environments of structures or draws (…,)."""

    spans: Array  # (…, n_el, n_el, 6) Å²
    leans: Array  # (…, n_el, 6)


@dataclass(frozen=True, eq=False)
class _Quantity:
    """Something with three main values, the same however a structure is turned."""

    subject: str
    name: str
    words: str
    values: Callable[[_Sums], Array]  # (…, 3) in ascending order


def _matrices(six: Array) -> Array:
    """(…, 3, 3) of xx, yy, zz, yz, xz, xy."""
    return np.asarray(six[..., [[0, 5, 4], [5, 1, 3], [4, 3, 2]]], np.float64)


def _strain(leans: Array, answer: float) -> Array:
    return np.asarray(np.linalg.eigvalsh(_matrices(leans) / answer), np.float64)


def _shape(spans: Array) -> Array:
    """(…, 3) how much farther a shell reaches along its main directions than a round one; NaN where there is none."""
    total = spans[..., :3].sum(axis=-1)[..., None]
    found = np.linalg.eigvalsh(_matrices(3 * spans / np.where(total > 0, total, 1.0)))
    return np.where(total > 0, np.sqrt(np.maximum(found, 0.0)) - 1.0, np.nan)


def _shape_of(centre: int, other: int, sums: _Sums) -> Array:
    return _shape(sums.spans[..., centre, other, :])


def _mean(values: Array) -> Array:
    """(…) the mean of (n, …) over those that have a value; NaN where none has."""
    known = np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.where(number > 0, total / np.maximum(number, 1), np.nan), np.float64)


def _quantities(found: Survey, shells: Survey, usable: Callable[[int], bool]) -> Iterator[_Quantity]:
    """What can be told of a structure with the shells of another one, or its own."""
    here = [int(a) for a in np.flatnonzero(found.of_kind) if usable(int(a))]
    answer = float(sum(found.of_kind[a] * shells.shells.answer[a] for a in here)) / max(found.n_atoms, 1)
    share = found.of_kind[here] / max(found.n_atoms, 1)
    if answer > 0:
        yield _Quantity(
            "", "bond lengths by direction", "bonds along one direction are {} % longer than along another",
            lambda sums: _strain((share[:, None] * sums.leans[..., here, :]).sum(axis=-2), answer),
        )  # fmt: skip
    for k, a in enumerate(here):
        for b in here[k:]:
            if shells.shells.minimum[a, b] > 0:
                # bonds are the same from both of their ends; around the rarer element are more, which scatter less
                centre, other = (a, b) if found.of_kind[a] <= found.of_kind[b] else (b, a)
                yield _Quantity(
                    found.pair(a, b), "shape of first shell",
                    f"{found.elements[other]} around {found.elements[centre]} reach {{}} % farther along one direction "
                    "than along another",
                    partial(_shape_of, centre, other),
                )  # fmt: skip


def _structures(found: Survey) -> list[list[NDArray[np.int64]]]:
    """Of some structures the rows of each element's environments."""
    rows = found.rows
    frames = np.unique(rows.frame)
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, min(_STRUCTURES, len(frames))).astype(int))]
    return [_members(found, int(frame)) for frame in chosen]


def _members(found: Survey, frame: int) -> list[NDArray[np.int64]]:
    """(n_el,) rows of a structure's environments of each element."""
    own = np.flatnonzero(found.rows.frame == frame)
    kinds = found.rows.kinds[own]
    return [own[kinds == a] for a in range(found.n_elements)]


def _each(found: Survey, structures: list[list[NDArray[np.int64]]]) -> _Sums:
    """(n_structures, …) means over the environments of structures."""
    n_el = found.n_elements
    spans, leans = np.zeros((len(structures), n_el, n_el, 6)), np.zeros((len(structures), n_el, 6))
    for k, members in enumerate(structures):
        for a, own in enumerate(members):
            if len(own):
                spans[k, a], leans[k, a] = found.rows.spans[own].mean(axis=0), found.rows.leans[own].mean(axis=0)
    return _Sums(spans, leans)


def _drawn(comparison: Comparison, size: list[int], rng: np.random.Generator) -> _Sums:
    """(n_draws, …) means over as many environments as a structure has independent ones, each of one of the target's.

    Parameters
    ----------
    size : (n_el,) atoms of the structure
    """
    target, rows = comparison.target, comparison.target.rows
    n_el = target.n_elements
    spans, leans = np.zeros((_DRAWS, n_el, n_el, 6)), np.zeros((_DRAWS, n_el, 6))
    frames = rows.frame[rng.integers(len(rows.frame), size=_DRAWS)]
    for frame in np.unique(frames):
        draws = np.flatnonzero(frames == frame)
        for a, own in enumerate(_members(target, int(frame))):
            if not len(own) or not size[a]:
                continue
            n = min(size[a], _MOST)
            chosen = own[rng.integers(len(own), size=(len(draws), n))]
            wider = np.sqrt(2.0 * n / size[a])
            for into, of in ((spans, rows.spans), (leans, rows.leans)):
                mean = of[own].mean(axis=0)
                into[draws, a] = mean + wider * (of[chosen].mean(axis=1) - mean)
    return _Sums(spans, leans)


def _blocks(comparison: Comparison) -> _Sums:
    """(n_blocks, …) the same of blocks."""
    n_el = comparison.target.n_elements
    weights = comparison.weights[comparison.blocks]
    spans, leans = np.zeros((len(weights), n_el, n_el, 6)), np.zeros((len(weights), n_el, 6))
    for a in range(n_el):
        own = comparison.target.rows.kinds == a
        number = max(int(comparison.of_kind[a]), 1)
        for into, of in ((spans, comparison.target.rows.spans), (leans, comparison.target.rows.leans)):
            flat = of[own].reshape(int(own.sum()), -1)
            into[:, a] = (weights[:, own] @ flat).reshape(len(weights), *of.shape[1:]) / number
    return _Sums(spans, leans)


def _apart(values: Array) -> float:
    """The largest difference between directions of (3,) main values, in per cent."""
    return 100 * float(values[2] - values[0])


def _measure(found: Survey) -> dict[str, Any]:
    if not len(found.rows.frame):
        return {}
    each = _each(found, _structures(found))
    told = {one.subject or one.name: _mean(one.values(each)) for one in _quantities(found, found, lambda a: True)}
    return {name: _apart(values) for name, values in told.items() if np.isfinite(values).all()}


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    target = comparison.target
    quantities = list(_quantities(found, target, comparison.usable))
    if not quantities:
        return []
    rng = np.random.default_rng(_SEED)
    structures = _structures(found)
    ours, theirs = _each(found, structures), _each(target, _structures(target))
    draws = [_drawn(comparison, [len(own) for own in members], rng) for members in structures]
    blocks = _blocks(comparison) if found.n_structures == 1 and comparison.blocks.any() else None
    rows = [_row(comparison, one, ours, theirs, draws, blocks) for one in quantities]
    return [row for row in rows if row is not None]


def _row(
    comparison: Comparison, one: _Quantity, ours: _Sums, theirs: _Sums, draws: list[_Sums], blocks: _Sums | None
) -> Row | None:
    own, known = _mean(one.values(ours)), _mean(one.values(theirs))
    if not (np.isfinite(own).all() and np.isfinite(known).all()):
        return None  # coordination tells of a pair that only one of them has
    kinds = [_mean(np.array([one.values(draw) for draw in draws]))]
    kinds += [one.values(blocks)] if blocks is not None else []
    off, typical, most = np.linalg.norm(own - known), _LEAST, 0.0
    for drawn in kinds:
        drawn = drawn[np.isfinite(drawn).all(axis=1)]
        if not len(drawn):
            continue
        mean = drawn.mean(axis=0)
        away = np.linalg.norm(drawn - mean, axis=1) * comparison.widening
        typical, most = max(typical, float(np.median(away))), max(most, float(away.max()))
        # few environments lean to some side by chance: their own mean is the fair comparison
        off = min(off, np.linalg.norm(own - mean))
    value, usual = _apart(own), _apart(known)
    words = one.words.format(f"{value:.0f}") + f", in the target {usual:.0f} %"
    limit = max(LIMIT, _BEYOND * most / typical)
    deviation = float(off) / typical
    return OBSERVABLE.row(one.subject, one.name, value, usual, 100 * typical, limit, words, deviation=deviation)


OBSERVABLE = Observable(
    "anisotropy",
    "how much longer bonds are, and how much farther each pair's first shell reaches, along one direction than another",
    "%",
    _measure,
    _compare,
)
