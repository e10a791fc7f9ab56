"""Run files for many structures: sets, additions to a set, searches that move away; and selection."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from grs_evo.descriptors.basis import build_basis
from grs_evo.driver.config.from_target import shortest_contacts
from grs_evo.errors import InputError
from grs_evo.exporters.formats import extended_xyz
from grs_evo.observables.counting.extent import filled
from grs_evo.search.candidates.lattices.target_lattice import target_lattice
from grs_evo.starting.disordered import whole_molecules
from grs_evo.starting.kind import Draft, Kind, Wanted, basis_table, quoted, run_file, table, target_table
from grs_evo.starting.look import Seen, cutoff_for
from grs_evo.structures.molecules.kinds import find_molecules
from grs_evo.structures.structure import Structure, to_atoms

_ATOMS = 12  # of a cell of a set
_MARGIN = 1.1  # densities may exceed those of the target's structures by this factor
_NEARER = 0.9  # atoms may come nearer than in the target by this factor
_SYMPREC = 0.01  # Å
_MOST_OF_A_LATTICE = 8
_SHARE = 10  # one of so many environments is selected
_BASIS = ([6, 2], [0, 2])
# Of sets: six radial functions do not hold the width of a first shell, and two generations a round find too little.
_SET_BASIS, _SET_GENERATIONS = ([12, 3], [0, 2]), 5
_SMALL, _STARTS = 2, 200  # times the atoms of a cell: small enough to begin with; so many at most


def _set(wanted: Wanted) -> Draft:
    return _many(wanted, "A set of small cells that together have the environments of", (), from_target=True)


def _augment(wanted: Wanted) -> Draft:
    if wanted.given is None:
        raise InputError("init augment: needs --given with the structures that are there already")
    rows = ((f"given = {quoted([wanted.given])[1:-1]}", "what is there already: the new ones add what it lacks"),)
    return _many(wanted, "New cells that a set lacks to have the environments of", rows)


def _many(wanted: Wanted, title: str, rows: tuple[tuple[str, str], ...], from_target: bool = False) -> Draft:
    """A set, or additions to one.

    Parameters
    ----------
    from_target : half of the islands begin with the target's own small structures where it has some. Random cells do
        not come to the crystals of a data set within a minute: a set for 363 structures of Ta had 7 % of its atoms with
        14 neighbours, the target 56 %.
    """
    seen = wanted.seen
    assert seen is not None
    cutoff = cutoff_for(seen.density)
    contacts = shortest_contacts(seen.structures, build_basis(seen.elements, [1], [0], cutoff))
    nearest = {pair: round(_NEARER * one, 2) for pair, one in contacts.items()}
    low, high = _densities(seen)
    atoms = whole_molecules(seen, wanted.atoms or _ATOMS)
    starts = _small_ones(seen, _SMALL * atoms) if from_target else []
    beside = f"{PurePath(seen.files[0].partition('@')[0]).stem}-starts.extxyz"
    text = run_file(
        f"{title} {wanted.called}.",
        target_table(wanted),
        basis_table(*(_SET_BASIS if from_target else _BASIS), cutoff),
        table(
            "loss",
            ("w_structure = 0.0", "no cell has to look like the target,"),
            ("w_set = 1.0", "all of them together do"),
            *_distances("core.distances", {pair: round(one / 1.08, 2) for pair, one in contacts.items()}),
        ),
        table(
            "candidates",
            ('kind = "random"', "cells of all shapes, atoms at random and apart"),
            (f"sizes = [{atoms}, {atoms}]", "smallest and largest number of atoms"),
            (f"number_density = {seen.density:.4f}", "1/Å³, the target's"),
            (f"density = [{low:g}, {high:g}]", "times that: from the thinnest to the densest"),
            (f"volume = [{0.9 / high:.2g}, {1.1 / low:.2g}]", "how far a search may take it"),
            *_distances("min_distance", nearest),
        ),
        table(
            "relax",
            ("positions = true", "a few steps: cells relaxed to the end are all the same one"),
            ("deltas = [0.1, 0.01]", ""),
            ("max_evaluations = 60", ""),
            ("stage_evaluations = 30", ""),
        ),
        table("search", *_islands(starts), ("population = 8", "")),
        table("search.genetic", ("relaxed = 0.5", "half of the new cells stay as they are")),
        table("migration", ('topology = "none"', "islands that exchange nothing find different cells")),
        table(
            "set",
            *rows,
            ("rounds = 12", "of search; after each the best join"),
            ("accept = 2", "at most so many"),
            ("offered = 4", "of so many from each island"),
            ("count = 16", "structures, and the set is done"),
            ('# objective = "information"', "for training data: what a potential learns most from"),
            ("slack = 0.05", "how much worse an addition may make a set that is short of its size"),
            ("patience = 4", "rounds that add nothing"),
        ),
        table("stop", (f"generations = {_SET_GENERATIONS if from_target else 2}", "per round")),
        *(_from_target(beside, nearest) if starts else ()),
    )
    notes = [f"cells of {atoms} atoms, {low * seen.density:.3f} to {high * seen.density:.3f} atoms per Å³"]
    if starts:
        notes.append(f"half of the islands begin with {len(starts)} small structures of the target: {beside}")
    return Draft(
        text,
        files={beside: extended_xyz([to_atoms(one, seen.elements) for one in starts]).decode()} if starts else {},
        notes=tuple(notes),
        commands=(
            "mpiexec -n 2 grs-evo run {file} --out {out}",
            "grs-evo export {out} --set -o set.extxyz",
            "grs-evo report {out}",
        ),
    )


def _small_ones(seen: Seen, most: int) -> list[Structure]:
    """Periodic structures of so many atoms at most, evenly chosen; none where they are few."""
    small = [one for one in seen.structures if one.n_atoms <= most and one.pbc.all() and filled(one).all()]
    if len(small) < max(4, len(seen.structures) / _SHARE) or find_molecules(small, seen.elements).kinds:
        return []
    return [small[int(k)] for k in np.unique(np.linspace(0, len(small) - 1, min(len(small), _STARTS)).round())]


def _islands(starts: Sequence[Structure]) -> tuple[tuple[str, str], ...]:
    return () if starts else (("islands = 4", "shared out over the ranks there are"),)


def _from_target(beside: str, nearest: dict[str, float]) -> list[list[str]]:
    """Islands of two kinds."""
    return [
        table("[islands]", ("count = 2", "cells at random, as [candidates] says")),
        table("[islands]", ("count = 2", "and cells that begin with the target's own")),
        table(
            "islands.candidates",
            ('kind = "templates"', ""),
            (f"file = {quoted([beside])[1:-1]}", "its small structures, written beside this file"),
            ("rattle = 0.05", "Å, so that no two are alike"),
            ("strain = 0.02", ""),
            *_distances("min_distance", nearest),
        ),
    ]


def _distances(key: str, values: dict[str, float]) -> list[tuple[str, str]]:
    if not values:
        return []
    listed = ", ".join(f'"{pair}" = {one:g}' for pair, one in values.items())
    return [(f"{key} = {{{listed}}}", "Å, from the target's shortest contacts")]


def _densities(seen: Seen) -> tuple[float, float]:
    """Thinnest and densest structure over the mean density, with a margin; of one structure a range for its regions."""
    if len(seen.structures) == 1:
        return 0.85, 1.1
    each = np.array([one.n_atoms / one.volume for one in seen.structures]) / seen.density
    low, high = np.quantile(each, [0.02, 0.98])
    return round(float(max(low / _MARGIN, 0.1)), 2), round(float(high * _MARGIN), 2)


def _reverse(wanted: Wanted) -> Draft:
    seen = wanted.seen
    assert seen is not None
    on_sites = _on_a_lattice(seen)
    cutoff = cutoff_for(seen.density, seen.first if on_sites else None)
    atoms = (wanted.atoms or 8) if on_sites else whole_molecules(seen, wanted.atoms or _ATOMS)
    if on_sites:
        candidates: tuple[tuple[str, str], ...] = (
            ('kind = "supercells"', "all shapes of small cells on the target's lattice"),
            (f"sizes = [{max(1, atoms // 2)}, {atoms}]", "smallest and largest number of atoms"),
            ('composition = "target"', 'as nearly as whole atoms can; or "free"'),
            ("height = 2.0", "Å, no cell is thinner"),
            ("volume = [0.9, 1.1]", "a loss that is to grow has no end; this holds it"),
            ("rattle = 0.05", "Å"),
            ("rattled = 0.3", "share of cells that are rattled"),
        )
    else:
        candidates = (
            ('kind = "random"', "cells of all shapes, atoms at random and apart"),
            (f"sizes = [{atoms}, {atoms}]", "smallest and largest number of atoms"),
            ("density = [0.9, 1.1]", "times the target's"),
            ("volume = [0.8, 1.25]", "a loss that is to grow has no end; this holds it"),
        )
    text = run_file(
        f"Cells that depart from {wanted.called}, and from each other, step by step.",
        target_table(wanted),
        basis_table(*_BASIS, cutoff),
        table(
            "loss",
            ('scale = "reference"', "in units of the spread over random cells: the same in every round"),
            ("w_structure = -0.01", "below 0: away from the target"),
            ("core.fraction = 0.75", "atoms repel below this share of their covalent radii"),
        ),
        table("candidates", *candidates),
        table("search", ("islands = 4", "shared out over the ranks there are"), ("population = 12", "")),
        table("migration", ('topology = "none"', "so that different cells are found")),
        table(
            "set",
            ("rounds = 5", "of search; after each the farthest join"),
            ("accept = 2", "at most so many"),
            ("offered = 1", "of so many from each island"),
            ('bootstrap = "merge"', "what joins becomes part of what the next ones move away from"),
            ("bootstrap_weight = 20.0", "an environment of it counts as so many of the target"),
        ),
        table("stop", ("generations = 5", "per round")),
    )
    return Draft(text, commands=_set_commands())


def _set_commands() -> tuple[str, ...]:
    return ("mpiexec -n 2 grs-evo run {file} --out {out}", "grs-evo export {out} --set -o set.extxyz")


def _on_a_lattice(seen: Seen) -> bool:
    """Whether the first structure is an occupation of a simple lattice."""
    if not seen.first.pbc.all():
        return False
    try:
        return len(target_lattice(seen.first, True, _SYMPREC, "candidates").sites) <= _MOST_OF_A_LATTICE
    except InputError:
        return False


def _select(wanted: Wanted) -> Draft:
    seen = wanted.seen
    assert seen is not None
    environments = max(1, seen.n_atoms // _SHARE)
    pool = " ".join(shlex.quote(name) for name in wanted.names)
    text = f"""#!/bin/sh
# Which of these structures to label: {seen.told}.
# The grs-evo select of this program needs no run file, labels or groups.
grs-evo select {pool} --environments {environments} -o train.extxyz   # a tenth of the environments
# With energies and forces in the files, what the choice is worth:
#   grs-evo refit train.extxyz --test test.extxyz -o potential.yace
"""
    return Draft(text, suffix=".sh", commands=("sh {file}",))


KINDS = (
    Kind(
        "set", "small cells that together stand for a data set or a large system", "the target", "fig5-ta-dataset", _set
    ),
    Kind("select", "which structures of a pool to label", "the pool", "", _select),
    Kind(
        "reverse",
        "cells that move away from a target, and from each other",
        "the target",
        "fig6-reverse-fecrsiv",
        _reverse,
    ),
    Kind("augment", "new cells that add what a set lacks (--given SET)", "the target", "", _augment),
)
