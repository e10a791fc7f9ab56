"""Run files for fixed sites: the order of a crystal, a random alloy in a small cell, slabs."""

from __future__ import annotations

from math import prod
from pathlib import PurePath
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii, reference_states

from grs_evo.descriptors.options import checked_elements
from grs_evo.errors import InputError, within
from grs_evo.search.candidates.lattices.target_lattice import target_lattice
from grs_evo.starting.disordered import relax_table, slab_starts
from grs_evo.starting.kind import (
    Draft,
    Kind,
    Wanted,
    basis_table,
    fractions_text,
    quoted,
    run_file,
    table,
    target_table,
)
from grs_evo.starting.look import Seen, basis_for, cutoff_for
from grs_evo.structures.structure import VACANCY, Structure

_SYMPREC = 0.01  # Å, the run file's default
_SITES = 32  # of a cell, about
_LATTICES = {"sc": 1, "bcc": 2, "fcc": 4, "diamond": 8}  # sites of the cubic cell
_MOST_OF_A_LATTICE = 16
_FAR = 2.0  # a lattice constant so many times that of the elements, or as much less, has another unit


# ---------------------------------------------------------------------------------------------------------------------
# order


def _order(wanted: Wanted) -> Draft:
    seen = _seen(wanted)
    parent = _parent_size(seen)
    if parent is None or parent > _MOST_OF_A_LATTICE:
        raise InputError(
            f"init order: {wanted.names[0]} is no crystal of few kinds of sites; is it a melt or a glass? "
            "`grs-evo init` lists the kinds"
        )
    repeat = _repeat(parent, wanted.atoms or max(_SITES, seen.first.n_atoms), seen.first)
    n_max, l_max = basis_for(len(seen.elements))
    text = run_file(
        f"Which order of atoms on the sites of a crystal is that of {wanted.called}?",
        target_table(wanted),
        basis_table(n_max, l_max, cutoff_for(seen.density, seen.first)),
        table(
            "loss",
            ('scale = "whitened"', "in units of the spread over random occupations"),
            ("variance = 0.0", "a crystal is settled by the means of its environments"),
        ),
        table(
            "candidates",
            ('kind = "lattice"', "occupations of fixed sites: those of the target's lattice"),
            (f"repeat = {repeat}", f"of its cell with {parent} site{'s' * (parent > 1)}"),
            ('composition = "free"', 'moves may change it; "target" keeps the target\'s'),
        ),
        table(
            "search",
            ("islands = 4", "shared out over the ranks there are"),
            ("population = 50", ""),
        ),
        table("search.operators", ("crossover = 0.4", "else a mutation")),
        table(
            "stop",
            ("generations = 100", "whichever comes first"),
            ("loss = 1e-9", "zero: the order is found"),
        ),
    )
    return Draft(text)


def _parent_size(seen: Seen) -> int | None:
    """Sites of the target's parent cell; None where there is none."""
    try:
        cubic = bool(seen.first.pbc.all())
        return len(target_lattice(seen.first, cubic, _SYMPREC, "candidates").sites)
    except InputError:
        return None


def _repeat(parent: int, sites: int, structure: Structure) -> list[int]:
    """Repetitions of a parent cell along the periodic directions, for about so many sites."""
    axes = [int(k) for k in np.flatnonzero(structure.pbc)]
    repeat = [1, 1, 1]
    while prod(repeat) * parent < sites:
        shortest = min(axes, key=lambda k: repeat[k])
        repeat[shortest] += 1
    return repeat


# ---------------------------------------------------------------------------------------------------------------------
# random alloys


def _sqs(wanted: Wanted) -> Draft:
    fractions = dict(wanted.composition) or (wanted.seen.fractions if wanted.seen is not None else {})
    if len(fractions) < 2:
        raise InputError(
            "init sqs: needs --composition with two elements or more, such as --composition Fe=0.5,Cr=0.5, or a "
            "structure file of the alloy"
        )
    with within("--composition"):
        checked_elements(list(fractions))
    lattice, a = _lattice_of(wanted, fractions)
    sites = wanted.atoms or _SITES
    text = run_file(
        f"A cell of {sites} sites that stands for a random alloy: {', '.join(fractions)} on {lattice}.",
        table(
            "target.alloy",
            (f'lattice = "{lattice}"', "sc, bcc, fcc, diamond"),
            (f"a = {a:g}", "Å, the lattice constant"),
            (f"composition = {fractions_text(fractions)}", "every site holds each element with this probability"),
        ),
        table("candidates", (f"sizes = [{sites}, {sites}]", "sites; the most compact cell of so many is found")),
    )
    return Draft(text, notes=(f"{lattice}, a = {a:g} Å, {sites} sites",))


def _lattice_of(wanted: Wanted, fractions: dict[str, float]) -> tuple[str, float]:
    """Lattice and its constant in Å; from the structure, else the elements. Vacancies have no say in it."""
    atoms = {symbol: x for symbol, x in fractions.items() if symbol not in (VACANCY, "Va")}
    lattice = wanted.lattice or _usual_lattice(atoms)
    if lattice not in _LATTICES:
        raise InputError(f"--lattice {lattice}: is no lattice; allowed are {', '.join(_LATTICES)}")
    n_cell = _LATTICES[lattice]
    if wanted.a is not None:
        a = _checked_constant(wanted.a, lattice, atoms)
    elif wanted.seen is not None:
        a = (n_cell / wanted.seen.density) ** (1 / 3)
    else:
        a = sum(x * (n_cell * _volume_of(symbol)) ** (1 / 3) for symbol, x in atoms.items()) / sum(atoms.values())
    return lattice, round(a, 3)


def _checked_constant(a: float, lattice: str, atoms: dict[str, float]) -> float:
    """A lattice constant by whose volume per atom no unit was mistaken."""
    usual = sum(x * (_LATTICES[lattice] * _volume_of(symbol)) ** (1 / 3) for symbol, x in atoms.items())
    usual /= sum(atoms.values())
    if not usual / _FAR < a < usual * _FAR:
        raise InputError(f"--a {a:g}: is {a:g} Å; {lattice} of {', '.join(atoms)} has some {usual:.2f} Å")
    return a


def _usual_lattice(fractions: dict[str, float]) -> str:
    """The lattice of the element that there is most of and that has a cubic one."""
    for symbol in sorted(fractions, key=lambda one: -fractions[one]):
        state = reference_states[atomic_numbers[symbol]] or {}
        if state.get("symmetry") in _LATTICES:
            return str(state["symmetry"])
    return "fcc"


def _volume_of(symbol: str) -> float:
    """Å³ per atom of an element, from its own crystal where that is a simple one, else from its radius."""
    number = atomic_numbers[symbol]
    state: dict[str, Any] = reference_states[number] or {}
    if state.get("symmetry") in _LATTICES:
        return float(state["a"]) ** 3 / _LATTICES[state["symmetry"]]
    if state.get("symmetry") == "hcp":
        return float(state["a"]) ** 3 * float(state["c/a"]) * 3**0.5 / 4
    return float((2.0 * covalent_radii[number]) ** 3 / 2**0.5)


# ---------------------------------------------------------------------------------------------------------------------
# slabs


def _slab(wanted: Wanted) -> Draft:
    seen = _seen(wanted)
    if not seen.vacuum:
        raise InputError(f"init slab: {wanted.names[0]} has no vacuum; is it a bulk? `grs-evo init` lists the kinds")
    cutoff = cutoff_for(seen.density, seen.first)
    n_max, l_max = basis_for(len(seen.elements))
    parent = _parent_size(seen)
    if parent is not None and parent <= 2 * _SITES and seen.first.n_atoms >= 2 * parent:
        return _slab_of_sites(wanted, seen, parent, cutoff)
    size = wanted.atoms or min(80, seen.first.n_atoms)
    starts, beside = slab_starts(seen, size), f"{PurePath(seen.files[0]).stem}-starts.extxyz"
    text = run_file(
        f"Small slabs with the environments of {wanted.called}, its surface among them.",
        target_table(wanted),
        basis_table(n_max, l_max, cutoff),
        table(
            "candidates",
            ('kind = "templates"', "start from pieces cut out of the target,"),
            (f"file = {quoted([beside])[1:-1]}", "written beside this file, with the target's vacuum"),
            ("rattle = 0.1", "Å, so that no two are alike"),
        ),
        table("loss.terms", ("pair_distances = 0.3", "g(r) of each pair of elements, besides the moments")),
        relax_table(),
        table("search", ("islands = 4", "shared out over the ranks there are"), ("population = 8", "")),
        table("search.operators", ("weights = {strain = 0, volume = 0}", "the cell keeps the target's spacing")),
        table("stop", ("generations = 10", "more: a better slab")),
    )
    return Draft(text, files={beside: starts}, notes=("no lattice found: pieces of it are the start",))


def _slab_of_sites(wanted: Wanted, seen: Seen, parent: int, cutoff: float) -> Draft:
    repeat = _repeat(parent, wanted.atoms or 2 * _SITES, seen.first)
    n_max, l_max = basis_for(len(seen.elements))
    sites = prod(repeat) * parent
    text = run_file(
        f"A slab of {sites} sites with the environments of {wanted.called}.",
        target_table(wanted),
        basis_table(n_max, l_max, cutoff),
        table(
            "candidates",
            ('kind = "lattice"', "occupations of fixed sites: those of the target, vacuum and all"),
            (f"repeat = {repeat}", f"of its smallest cell in the plane, {parent} sites"),
        ),
        table("search", ("islands = 4", "shared out over the ranks there are"), ("population = 50", "")),
        table("stop", ("generations = 60", "more: a better slab"), ("stagnation = 20", "or when nothing improved")),
    )
    return Draft(text, notes=(f"a crystal's slab: cells of {sites} of its sites",))


def _seen(wanted: Wanted) -> Seen:
    assert wanted.seen is not None
    return wanted.seen


KINDS = (
    Kind("order", "the order of a crystal, found among the occupations of its sites", "a crystal", "cu3au-l12", _order),
    Kind("sqs", "a small cell that stands for a random alloy", "", "", _sqs),
    Kind("slab", "a small slab or film for a large one", "a structure with vacuum", "fig7-fe-wire", _slab),
)
