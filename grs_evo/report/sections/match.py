"""How what was found lies to the target: moments, coverage, distributions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grs_evo.analysis import (
    Components,
    Coverage,
    Shared,
    coverage,
    coverage_growth,
    coverage_of_samples,
    principal_components,
    shared,
)
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.distributions.environments import Environments
from grs_evo.analysis.figures.environments import function_distances, growth, histogram, histogram_choice, plane
from grs_evo.analysis.figures.figure import Figure
from grs_evo.analysis.notation import percent, several, significant, whole
from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError
from grs_evo.report import page
from grs_evo.report.page import Section, Tile

_SMALL = 6  # histograms drawn
_OFFERED = 150  # histograms to choose from besides: some hundred kB
# A target with fewer environments (a crystal) has no halves to speak of.
_HALVES = 50


@dataclass(frozen=True, eq=False)
class Pair:
    """The target's environments and those of what was found."""

    target: Environments  # as they are distributed
    each: Environments  # every one once, whatever its weight: what a hull is of
    chosen: Environments
    basis: Basis
    name: str  # of what was found
    away: bool
    information: str = ""  # what a set tells a linear potential about the target, in words

    @property
    def is_single(self) -> bool:
        """Whether what was found is one cell: it spans next to nothing, and that alone says nothing about it."""
        return len(np.unique(self.chosen.owner)) < 2


def match_section(pair: Pair) -> tuple[Section, list[Figure], list[Tile]]:
    """Distributions and coverage of what was found, against the target; with the tiles that sum it up."""
    moments, tiles = _moments(pair)
    cover, plots, more = _coverage(pair)
    distributions, others = _distributions(pair)
    about = f"The {pair.name} against the target."
    if not pair.chosen.is_whole:
        about += f" Drawn from {whole(len(pair.chosen))} of its {whole(pair.chosen.total)} environments."
    if not pair.each.is_whole:
        about += (
            f" Of the target this page has a sample of {whole(len(pair.each))} of its {whole(pair.each.total)} "
            "environments; the hull of all is larger, so V_rep is an upper estimate."
        )
    title = "How far it is" if pair.away else "How well it matches"
    return Section("match", title, about, moments + cover + distributions), [*plots, *others], [*tiles, *more]


def _moments(pair: Pair) -> tuple[str, list[Tile]]:
    """Differences of means and variances, with their floor."""
    found = environments.compare_moments(pair.target, pair.chosen, pair.basis)
    rows: dict[str, list[object]] = {
        "": [f"{pair.name} to target"],
        "mean |Δ mean|": [significant(found.mae_first)],
        "mean |Δ variance|": [significant(found.mae_second)],
        "means (σ)": [significant(found.scaled_first)],
        "variances (σ²)": [significant(found.scaled_second)],
    }
    if len(pair.target) >= _HALVES:
        floor = environments.floor(pair.target, pair.basis)
        for column, value in zip(
            list(rows)[1:], (floor.mae_first, floor.mae_second, floor.scaled_first, floor.scaled_second), strict=True
        ):
            rows[column].append(significant(float(value)))
        rows[""].append("halves of the target to each other")
        remark = f"σ from the target’s, on average; halves of the target: {significant(floor.scaled_first, 2)}"
        note = "The second row is the floor: how far two halves of the target’s own environments are apart. " + (
            "What lies above it is different." if pair.away else "Below it a search fits the noise of one target."
        )
    else:
        remark = "σ from the target’s, on average"
        note = "σ is the target’s own spread, or where it has none that of the two together."
    tile = ("Means are off by", significant(found.scaled_first, 3), remark)
    body = f'<div class="card"><h3>Moments</h3>{page.table(rows, ("",))}<p class="note">{note}</p></div>'
    return body, [tile]


# ---------------------------------------------------------------------------------------------------------------------
# coverage


def _coverage(pair: Pair) -> tuple[str, list[Figure], list[Tile]]:
    target, chosen = pair.each.wide(pair.basis), pair.chosen.wide(pair.basis)
    parts = pair.chosen.of_structures(pair.basis) if not pair.away else []
    try:
        components = principal_components(target)
        grown = coverage_growth(target, parts, steps=12, components=components) if len(parts) > 1 else []
        # The last step is the whole set.
        found = grown[-1][2] if grown else coverage(target, chosen, components=components)
        hulls = plane(components, target, [(pair.name, chosen)], _caption(pair, found, target, components))
        common = shared(target, chosen, components) if not pair.away and not pair.is_single else None
    except InputError as error:
        return f'<p class="note">Coverage: {page.text(error)}.</p>', [], []
    if components.count == 1:  # a line has nothing to look at
        return f'<p class="note">Coverage. {page.text(hulls.caption)}</p>', [], _coverage_tiles(pair, found, common)
    steps = growth([(pair.name, grown)]) if not pair.away else None
    body = '<div class="grid">' + page.figure(hulls, wide=steps is None) + page.figure(steps) + "</div>"
    if common is not None:
        body += f'<p class="note">{page.text(common.sentence())}.</p>'
    if pair.information:
        body += f'<p class="note">{page.text(pair.information)}.</p>'
    return body, [hulls, *([steps] if steps else [])], _coverage_tiles(pair, found, common)


def _caption(pair: Pair, found: Coverage, target: NDArray[np.float64], components: Components) -> str:
    upper, lower = ("at most ", "at least ") if found.method == "widths" else ("", "")
    inside = f"{upper}{percent(found.inside)} of the target’s environments lie inside the hull of the {pair.name}"
    beyond = f"{lower}{percent(found.beyond)} of the {pair.name}’s environments lie outside the hull of the target’s"
    if pair.away:
        return _sentence(f"{beyond}; {inside}")
    if not pair.is_single or len(pair.each) < _HALVES:
        return f"{found.sentence().replace(chr(39), '’')}. {_sentence(f'{inside}, {beyond}')}"
    # One small cell by itself: what as many environments of the target come to is what there is to compare with.
    samples = coverage_of_samples(target, len(pair.chosen), components=components)
    of = "" if found.method == "hull" else f"the first {found.exact_dimension} of "
    many = several(len(pair.chosen), "random environment")
    return (
        f"Hulls in {of}{several(found.dimension, 'principal component')}: {many} of the target reach "
        f"V_rep = {significant(samples.mean(), 2)} ± {significant(samples.std(), 2)}; this cell "
        f"{significant(found.exact, 2)}. {_sentence(f'{inside}, {beyond}')}"
    )


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _coverage_tiles(pair: Pair, found: Coverage, common: Shared | None) -> list[Tile]:
    if pair.away:
        lower = "at least " if found.method == "widths" else ""
        return [("Beyond the target", percent(found.beyond), f"{lower}of its environments, outside the target’s hull")]
    if pair.is_single:
        return []
    sample = "" if pair.each.is_whole else "; upper estimate"
    if not found.is_told:
        where = f"hull volume in the first {found.exact_dimension} of {found.dimension} components{sample}"
        return [("V_rep, leading", significant(found.exact, 3), where), *_common_tiles(common)]
    how = (
        "hull volume, set to target" if found.method == "hull" else f"within a factor of {significant(found.factor, 2)}"
    )
    tile = ("V_rep", significant(found.v_rep, 3), f"{how}; {several(found.dimension, 'component')}{sample}")
    return [tile, *_common_tiles(common)]


def _common_tiles(common: Shared | None) -> list[Tile]:
    if common is None:
        return []
    where = f"V(set ∩ target)/V(target), {several(common.dimension, 'component')}; {percent(common.outside)} of the set"
    return [("Shared volume", significant(common.overlap, 3), f"{where} have no neighbour in the target")]


# ---------------------------------------------------------------------------------------------------------------------
# distributions


def _distributions(pair: Pair) -> tuple[str, list[Figure]]:
    # As many bins as the smaller side can fill.
    bins = int(np.clip(2 * np.sqrt(min(len(pair.target), len(pair.chosen))), 8, 40))
    found, labels = environments.compare_histograms(pair.target, pair.chosen, pair.basis, bins)
    order = np.argsort(-found.wasserstein, kind="stable")
    small = [histogram([(pair.name, found)], int(k), labels[k], rank) for rank, k in enumerate(order[:_SMALL], 1)]
    bars = function_distances(found, labels, pair.name)
    rest = order[_SMALL : _SMALL + _OFFERED]
    other = histogram_choice(found, rest, labels, pair.name) if len(rest) else None
    which = "that differ most" if pair.away else "that fit worst"
    body = (
        f'<div class="card"><h3>Distributions of single functions</h3><p class="about">The {len(small)} functions '
        f"{which} of {len(labels)}: share of environments over the value of the function. {page.text(_names(labels))} "
        "The distance is the earth mover’s, in standard deviations σ of the target; KS is the largest gap between the "
        'two cumulative distributions, from 0 (the same) to 1 (apart).</p><div class="small">'
        + "".join(page.small_figure(one) for one in small)
        + '</div></div><div class="grid">'
        + page.figure(bars)
        + page.figure(other)
        + "</div>"
    )
    return body, [*small, bars, *([other] if other else [])]


def _names(labels: list[str]) -> str:
    """How to read the name of a function, by one that has all parts."""
    example = next((label for label in labels if " l " in label), labels[0])
    numbers = "radial (n) and angular (l) indices, one per neighbour" if " l " in example else "radial indices n"
    return f"A name such as “{example}” reads: central atom, its neighbours, {numbers}."
