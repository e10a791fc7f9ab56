"""What candidates are where the run file leaves it to the target: fixed sites of a crystal, random cells, molecules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.loss.lattice import MOST_SITES
from grs_evo.observables.counting.extent import filled
from grs_evo.observables.counting.sampled import on_sites, pair_density
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.potential.rigid import can_keep_rigid
from grs_evo.search.candidates.disordered.molecules import NEARER, NEXT
from grs_evo.search.candidates.disordered.networks import find_network, numbers_told
from grs_evo.search.candidates.lattices.target_lattice import (
    TargetLattice,
    is_without_symmetry,
    sublattices,
    target_lattice,
)
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.structures.composition import largest_remainder
from grs_evo.structures.molecules.kinds import Found, find_molecules, make_molecules
from grs_evo.structures.structure import Structure

# What says that candidates are to sit on given sites.
_ON_SITES = ("kind", "lattice", "file", "a", "c_over_a", "cubic", "repeat", "sites", "pinned", "fixed", "symprec")
# A lattice of more sites, no two of one kind, is a snapshot of a disordered system.
_MOST_OF_A_CRYSTAL = 16
# Of so many atoms it takes long to find the symmetry; displaced ones have none. Å to which that is looked at.
_LARGE, _SEEN = 3000, 5.0
# Atoms of a random cell: near 54, as the target's fractions come out best.
_USUAL_SIZE, _SIZES = 54, range(48, 65)
# Molecules of a cell, at least, where these are large.
_USUAL_MOLECULES = 6


def by_target(
    options: CandidateOptions, elements: Sequence[str], targets: Sequence[Structure], where: str = "candidates"
) -> tuple[CandidateOptions, tuple[str, ...]]:
    """Candidate options with what the target decides written out, and a line about each such decision.

    A disordered or large target gets random cells at its density and composition, where nothing says otherwise. A
    crystal whose sites are of several kinds keeps on each kind the elements that the target has there; a slab,
    whether or not its file calls the vacuum periodic, is repeated along itself alone.

    Parameters
    ----------
    targets : the target's structures; without any nothing is decided
    where : the section of the run file, for messages

    Raises
    ------
    InputError
        A disordered target with vacuum, of which no cell can be drawn; structures of a compound on different lattices.
    """
    if not targets or options.lattice != "target" or options.kind not in ("lattice", "supercells"):
        return options, ()
    first = targets[0]
    free = not options.model_fields_set.intersection(_ON_SITES)
    if free and first.n_atoms > _LARGE and not on_sites(pair_density((first,), len(elements), _SEEN)):
        why = f"the target's {first.n_atoms:,} atoms stand on no sites, their distances take all values"
        return _random(options, elements, targets, why, where)
    lattice = target_lattice(first, options.cubic and options.kind == "lattice", options.symprec, where)
    if free:
        why = _why_random(lattice, options)
        if why:
            return _random(options, elements, targets, why, where)
    changes: dict[str, Any] = {}
    notes: list[str] = []
    repeat = tuple(int(n) if on else 1 for n, on in zip(options.repeat, _goes_on(lattice), strict=True))
    if options.kind == "lattice" and "repeat" not in options.model_fields_set and repeat != options.repeat:
        changes["repeat"] = repeat
        notes.append(f"{where}.repeat: {list(repeat)}, since the target has vacuum along what is not repeated")
    if options.sites is None and len(elements) > 1:
        sites = _sites(options, elements, targets, lattice, where)
        if sites is not None:
            changes["sites"] = sites
            told = ", ".join(f"{sites.count(one)} of {'/'.join(one)}" for one in dict.fromkeys(sites))
            notes.append(f"{where}.sites: as in the target, {told} in the parent cell; give sites for others")
    return (_with(options, changes), tuple(notes)) if changes else (options, ())


def by_molecules(
    options: CandidateOptions,
    given: CandidateOptions,
    elements: Sequence[str],
    targets: Sequence[Structure],
    relax: RelaxOptions | None,
    where: str = "candidates",
) -> tuple[CandidateOptions, tuple[str, ...]]:
    """Candidate options with whole molecules where the target consists of them, and a line that says so.

    Parameters
    ----------
    options, given : with what the target decides otherwise, and as the run file has them
    relax : how candidates are relaxed; None: as is usual for them, or not at all
    where : the section of the run file, for messages

    Raises
    ------
    InputError
        Whole molecules are wanted, and relaxation has no way to keep them.
    """
    settled = options.molecules is False or options.generator is not None or options.carved_between_atoms
    if options.kind != "random" or settled or not targets:
        return options, ()
    why_not = can_keep_rigid(relax)
    if options.molecules:
        if why_not:
            raise InputError(f"{where}.molecules: is true, but {why_not}")
        return options, ()
    found = find_molecules(targets, elements)
    if not found.kinds:
        return options, ()
    names = ", ".join(kind.formula for kind in found.kinds)
    if len(elements) > 1 and (options.limits is not None or options.composition == "free"):
        why_not = "the composition is free"
    if why_not:
        told = f"{where}: the target consists of molecules ({names}), but {why_not}: atoms are placed and moved alone"
        return options, (told,)
    changes: dict[str, Any] = {"molecules": True}
    if given.sizes is None and options.sizes is not None and options.counts is None:
        size = size_of_molecules(found, elements, targets)
        changes["sizes"] = (size, size)
    left = f"; what else it holds ({found.others}) is left out" if found.others else ""
    told = (
        f"{where}: the target consists of molecules ({names}): they are placed and moved whole, with the bonds and "
        f"angles that it shows{left} ({where}.molecules = false places atoms alone)"
    )
    return _with(options, changes), (told,)


def by_network(
    options: CandidateOptions,
    elements: Sequence[str],
    targets: Sequence[Structure],
    relax: RelaxOptions | None,
    where: str = "candidates",
) -> tuple[CandidateOptions, tuple[str, ...]]:
    """Candidate options with networks of bonds where the target is one, and a line that says so.

    Parameters
    ----------
    options : with what the target decides otherwise
    relax : how candidates are relaxed; None: as is usual for them, or not at all
    where : the section of the run file, for messages

    Raises
    ------
    InputError
        A network is wanted, and relaxation cannot keep it.
    """
    if options.kind != "random" or options.network is False or options.generator is not None or options.molecules:
        return options, ()
    fixed = "relax.positions is false, and bonds need atoms that move" if relax and not relax.positions else ""
    if options.network:
        if fixed:
            raise InputError(f"{where}.network: is true, but {fixed}")
        return options, ()
    found = find_network(targets, elements)
    if found.network is None or fixed:
        return options, ()
    told = (
        f"{where}: the target is a network of {found.told} bonds ({numbers_told(found.network, elements)}): cells are "
        f"made by exchange of bonds and keep these ({where}.network = false leaves that out)"
    )
    return _with(options, {"network": True}), (told,)


def size_of_molecules(
    found: Found, elements: Sequence[str], targets: Sequence[Structure], around: int = _USUAL_SIZE
) -> int:
    """Atoms of a cell of whole molecules: as near as can be to `around`, or some molecules where they are large; at
    most the target's."""
    number = sum(kind.number for kind in found.kinds)
    mean = sum(kind.number * len(kind.species) for kind in found.kinds) / number
    wanted = max(around, _USUAL_MOLECULES * mean)
    most = max(one.n_atoms for one in targets)
    possible = make_molecules(found, elements, range(1, round(2 * wanted) + 1), NEARER, {}).numbers
    return min((n for n in possible if n <= most or n == min(possible)), key=lambda n: (abs(n - wanted), n))


def nearest_of_molecules(found: Found, elements: Sequence[str], wanted: int) -> int:
    """The size of a cell of whole molecules that is nearest to a wanted one; the wanted one where none is near."""
    sizes = range(max(1, wanted - NEXT), wanted + NEXT)
    possible = make_molecules(found, elements, sizes, NEARER, {}).numbers
    return min(possible, key=lambda n: (abs(n - wanted), n), default=wanted)


def _with(options: CandidateOptions, changes: dict[str, Any]) -> CandidateOptions:
    """The options with changes, checked as if they were given."""
    return CandidateOptions.model_validate({**options.model_dump(exclude_unset=True), **changes})


def _goes_on(lattice: TargetLattice) -> NDArray[np.bool_]:
    """(3,) along which vectors of the parent cell matter goes on, without a vacuum to the next image."""
    kinds = np.zeros(len(lattice.sites), np.int32)
    return filled(Structure(lattice.sites @ lattice.cell, lattice.cell, kinds, lattice.pbc))


def _why_random(lattice: TargetLattice, options: CandidateOptions) -> str:
    """Why candidates cannot well be occupations of the target's own sites; empty where they can."""
    n_parent = len(lattice.sites)
    repeat = np.where(lattice.pbc, options.repeat, 1)
    if n_parent * int(np.prod(repeat)) > MOST_SITES:
        return f"the target's parent cell has {n_parent} sites, more than a crystal's"
    if n_parent > _MOST_OF_A_CRYSTAL and is_without_symmetry(lattice, options.symprec):
        return f"no two of the target's {n_parent} sites are alike, as in a melt or glass"
    return ""


def _random(
    options: CandidateOptions, elements: Sequence[str], targets: Sequence[Structure], why: str, where: str
) -> tuple[CandidateOptions, tuple[str, ...]]:
    # the files of many codes call the vacuum beside a slab periodic; a set may hold slabs beside bulk
    bulk = all(one.pbc.all() for one in targets) and any(filled(one).all() for one in targets)
    if not bulk and options.number_density is None:
        raise InputError(
            f"{where}.kind: {why}, and it has vacuum, so that no random cell can be drawn like it; give "
            f'kind = "templates" with a file of structures to start from, or kind = "random" with number_density [1/Å³]'
        )
    changes: dict[str, Any] = {"kind": "random"}
    if options.sizes is None and options.counts is None:
        size = _size(options, elements, targets)
        changes["sizes"] = (size, size)
    made = _with(options, changes)
    size_told = "" if made.sizes is None else f" of {made.sizes[0]} atoms"
    if made.sizes is not None and made.sizes[0] < made.sizes[1]:
        size_told = f" of {made.sizes[0]} to {made.sizes[1]} atoms"
    return made, (f"{where}: random cells{size_told} at the target's density: {why}; give kind for others",)


def _size(options: CandidateOptions, elements: Sequence[str], targets: Sequence[Structure]) -> int:
    """Atoms of a random cell: about 54, such that whole atoms come nearest to the fractions; at most the target's."""
    most = max(one.n_atoms for one in targets)
    if most <= _SIZES[-1]:
        return most
    total = np.sum([one.counts(len(elements)) for one in targets], axis=0)
    fractions = total / total.sum()
    if options.fractions is not None:
        fractions = np.array([options.fractions.get(element, 0.0) for element in elements])
    off = {n: round(float(np.abs(largest_remainder(fractions, n) / n - fractions).max()), 9) for n in _SIZES}
    return min(_SIZES, key=lambda n: (off[n], abs(n - _USUAL_SIZE)))


def _sites(
    options: CandidateOptions,
    elements: Sequence[str],
    targets: Sequence[Structure],
    lattice: TargetLattice,
    where: str,
) -> tuple[tuple[str, ...], ...] | None:
    """Elements of each site of the parent cell; None where any may sit anywhere."""
    allowed = sublattices(targets, lattice, len(elements), options.symprec)
    if allowed is None:
        raise InputError(
            f"{where}.sites: the target's structures do not lie on one lattice, so they do not tell which elements its "
            f"{len(lattice.sites)} sites allow; give them in order, e.g. sites = [[{elements[0]!r}], "
            f"[{', '.join(map(repr, elements[:2]))}], …], or another kind of candidates"
        )
    if allowed.all():
        return None
    return tuple(tuple(elements[k] for k in np.flatnonzero(row).tolist()) for row in allowed)
