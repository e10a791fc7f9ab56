"""Chemical mutations: swaps and flips of species on fixed positions; and the same on bare species arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.candidates.limits import Limits
from grs_evo.search.operators.record import StepSizes
from grs_evo.structures.composition import Allowed, repair
from grs_evo.structures.structure import Structure, with_species

_TRIES = 20


def swap_species(
    rng: np.random.Generator, species: NDArray[np.int32], mask: Allowed | None, times: int = 1
) -> NDArray[np.int32] | None:
    """Exchange two different species, `times` times; counts are kept. None when no pair can be exchanged."""
    child = species.copy()
    n = len(child)
    for _ in range(times):
        for _ in range(_TRIES):
            i, j = int(rng.random() * n), int(rng.random() * n)
            a, b = child[i], child[j]
            if a != b and (mask is None or (mask[i, b] and mask[j, a])):
                child[i], child[j] = b, a
                break
        else:
            # Rare: nearly pure, or a narrow mask. Look at all pairs once.
            differs = child[:, None] != child[None, :]
            if mask is not None:
                fits = mask[np.arange(n)[:, None], child[None, :]]
                differs &= fits & fits.T
            pairs = np.argwhere(np.triu(differs))
            if not len(pairs):
                return None
            i, j = pairs[int(rng.random() * len(pairs))]
            child[i], child[j] = child[j], child[i]
    return None if times > 1 and child.tobytes() == species.tobytes() else child


def flip_species(
    rng: np.random.Generator, species: NDArray[np.int32], limits: Limits, mask: Allowed | None, times: int = 1
) -> NDArray[np.int32] | None:
    """Change the species of `times` different sites within mask and composition rule; None when that is impossible."""
    child = species.copy()
    n, n_elements = len(child), limits.n_elements
    rule = limits.composition
    plain = rule.kind == "free" and rule.endpoints
    counts = None if plain else np.bincount(child, minlength=n_elements)
    done: list[int] = []
    for _ in range(_TRIES + times):
        if len(done) == times:
            break
        i = int(rng.random() * n)
        if i in done:
            continue
        old = int(child[i])
        new = int(rng.random() * (n_elements - 1))
        new += new >= old
        if mask is not None and not mask[i, new]:
            continue
        if counts is not None:
            counts[old] -= 1
            counts[new] += 1
            if not rule.admits(counts):
                counts[old] += 1
                counts[new] -= 1
                continue
        child[i] = new
        done.append(i)
    return child if done else None


def mix_species(
    rng: np.random.Generator,
    mine: NDArray[np.int32],
    theirs: NDArray[np.int32],
    limits: Limits,
    region: NDArray[np.bool_] | None = None,
) -> NDArray[np.int32] | None:
    """Species of one parent outside a region and of the other inside (default: at random); composition repaired."""
    if region is None:
        region = rng.random(len(mine)) < 0.2 + 0.6 * rng.random()
    child = np.where(region, theirs, mine).astype(np.int32, copy=False)
    rule = limits.composition
    if rule.kind == "free" and rule.endpoints:
        return child
    return repair(rng, child, rule, limits.mask(len(child)))


def swap(rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes) -> Structure | None:
    """Exchange the species of two atoms."""
    one = parents[0]
    return occupied(one, swap_species(rng, one.species, limits.mask(one.n_atoms)), limits)


def swaps(rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes) -> Structure | None:
    """Several swaps: what leaves a trap that no single one leaves."""
    one = parents[0]
    times = 2 + int(rng.random() * (steps.several - 1))
    return occupied(one, swap_species(rng, one.species, limits.mask(one.n_atoms), times), limits)


def flip(rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes) -> Structure | None:
    """Change the species of one atom."""
    one = parents[0]
    return occupied(one, flip_species(rng, one.species, limits, limits.mask(one.n_atoms)), limits)


def flips(rng: np.random.Generator, parents: Sequence[Structure], limits: Limits, steps: StepSizes) -> Structure | None:
    """Change the species of several atoms."""
    one = parents[0]
    times = 2 + int(rng.random() * (steps.several - 1))
    return occupied(one, flip_species(rng, one.species, limits, limits.mask(one.n_atoms), times), limits)


def fixed_composition(limits: Limits) -> str | None:
    """Obstacle of flips."""
    return "fixed composition" if limits.composition.fixed else None


def occupied(structure: Structure, species: NDArray[np.int32] | None, limits: Limits) -> Structure | None:
    """The structure with these species; None where there are none or they break the limits."""
    if species is None:
        return None
    child = with_species(structure, species)
    return None if limits.violation(child) else child
