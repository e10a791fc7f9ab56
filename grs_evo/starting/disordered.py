"""Run files for random cells that are relaxed: melts and glasses; and pieces of slabs to start from."""

from __future__ import annotations

import io
from itertools import product
from math import ceil, log, prod

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from grs_evo.errors import InputError
from grs_evo.observables.counting.extent import filled
from grs_evo.search.candidates.by_target import nearest_of_molecules, size_of_molecules
from grs_evo.starting.kind import Draft, Kind, Wanted, basis_table, run_file, table, target_table
from grs_evo.starting.look import Seen, cutoff_for, size_for
from grs_evo.structures.molecules.kinds import find_molecules
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure, to_atoms

# Bases for mixtures: radial functions and angles. What the program takes from the target is as quick for one element,
# and its g(r) twice as near (0.010 from the melt of Ta, 0.019 with a basis from here), but takes three times as long
# for two: in the same minute 0.13 from that of Ni-Nb glass, against 0.05.
_MELT, _GLASS = ([6, 2], [0, 2]), ([6, 3], [0, 3])
_CUTS, _PIECES = 32, 8  # tried, and kept: those with the most regular number of atoms
_MOST_PIECES = 30  # along an edge
_SEED = 1
# Atoms nearer than this share of their covalent radii across the seam of a piece are one too many.
_TOO_NEAR = 0.8
_SHORTEST = 6.0  # Å, edge of a piece


def relax_table(cell: str = "none") -> list[str]:
    """[relax]."""
    return table(
        "relax",
        ("positions = true", "new structures are relaxed on the loss"),
        (f'cell = "{cell}"', 'or "shape", "volume", "full": what of the cell moves as well'),
    )


def _melt(wanted: Wanted) -> Draft:
    return _random_cells(wanted, "melt", _MELT, 54)


def _glass(wanted: Wanted) -> Draft:
    return _random_cells(wanted, "glass", _GLASS, 96)


def _molecules(wanted: Wanted) -> Draft:
    seen = wanted.seen
    assert seen is not None
    if not find_molecules(seen.structures, seen.elements).kinds:
        raise InputError(
            f"init molecules: {wanted.names[0]} does not consist of molecules; is it a melt or a glass? `grs-evo init` "
            "lists the kinds"
        )
    return _random_cells(wanted, "molecules", None, 54)


def _random_cells(wanted: Wanted, name: str, mixture: tuple[list[int], list[int]] | None, around: int) -> Draft:
    seen = wanted.seen
    assert seen is not None
    if seen.vacuum:
        raise InputError(
            f"init {name}: {wanted.names[0]} has vacuum, of which no random cell can be drawn; for a slab or film "
            "`grs-evo init slab`"
        )
    size = _size(seen, wanted.atoms, around)
    basis = [] if mixture is None or len(seen.elements) == 1 else basis_table(*mixture, cutoff_for(seen.density))
    text = run_file(
        f"{size} atoms that stand for {wanted.called}.",
        target_table(wanted),
        basis,
        table(
            "candidates",
            ('kind = "random"', "cells of all shapes, atoms at random and apart"),
            (f"sizes = [{size}, {size}]", "smallest and largest number of atoms"),
            ("density = [1.0, 1.0]", "the target's"),
        ),
        relax_table(),
        table(
            "search",
            ("islands = 4", "shared out over the ranks there are"),
            ("population = 6", "each: a relaxed structure takes a second or so"),
        ),
        table("migration", ("interval = 2", ""), ("emigrants = 1", "")),
        table("stop", ("generations = 8", "more: a better cell; the loss is told as it falls")),
    )
    return Draft(text, notes=(f"{size} atoms at {seen.density:.4f} atoms per Å³",))


def _size(seen: Seen, given: int | None, around: int) -> int:
    """Atoms of a cell, those of whole molecules where the structures consist of them."""
    if given is not None:
        return whole_molecules(seen, given)
    found = find_molecules([seen.first], seen.elements)
    return size_of_molecules(found, seen.elements, [seen.first], around) if found.kinds else size_for(seen, around)


def whole_molecules(seen: Seen, size: int) -> int:
    """The number of atoms nearest to a wanted one that whole molecules have; where there are none, the wanted one."""
    found = find_molecules(seen.structures, seen.elements)
    return nearest_of_molecules(found, seen.elements, size) if found.kinds else size


def slab_starts(seen: Seen, size: int) -> str:
    """Pieces of about `size` atoms of a slab or film, cut along what is periodic, as extended XYZ."""
    rng = np.random.default_rng(_SEED)
    structure = seen.first
    axes = np.flatnonzero(filled(structure))
    if not len(axes):
        raise InputError(f"{seen.files[0]}: is not periodic along any direction, so no pieces can be cut out of it")
    lengths = np.linalg.norm(structure.cell[axes], axis=1)
    shares = 1.0 / _divisors(lengths, structure.n_atoms, size)
    edges = shares * lengths
    if edges.min() < _SHORTEST:
        enough = ceil(structure.n_atoms * np.prod(np.minimum(1.0, _SHORTEST / lengths)))
        raise InputError(
            f"init slab: pieces of {size} atoms of {seen.files[0]} would be {edges.min():.1f} Å long; give --atoms "
            f"{enough} or more, or make a set of cells with `grs-evo init set`"
        )
    expected = structure.n_atoms * float(np.prod(shares))
    cuts = [_piece(structure, axes, shares, rng.random(len(axes)), seen.elements) for _ in range(_CUTS)]
    pieces = sorted(cuts, key=lambda piece: abs(piece.n_atoms - expected))[:_PIECES]
    out = io.StringIO()
    from ase.io import write

    write(out, [to_atoms(one, seen.elements) for one in pieces], format="extxyz")
    return out.getvalue()


def _divisors(lengths: np.ndarray, n_atoms: int, size: int) -> np.ndarray:
    """Into how many pieces each periodic edge is cut: whole numbers, so that what repeats fits across the new borders.

    Pieces of about `size` atoms, as wide as they are long; of two as good, the larger.
    """

    def badness(divisors: tuple[int, ...]) -> tuple[float, float, int]:
        edges = lengths / np.array(divisors)
        pieces = prod(divisors)
        return abs(log(n_atoms / pieces / size)) + log(float(edges.max() / edges.min())), float(pieces), divisors[0]

    return np.array(min(product(range(1, _MOST_PIECES + 1), repeat=len(lengths)), key=badness))


def _piece(
    structure: Structure, axes: np.ndarray, shares: np.ndarray, origin: np.ndarray, elements: tuple[str, ...]
) -> Structure:
    fractional = structure.positions @ np.linalg.inv(structure.cell)
    inside = (fractional[:, axes] - origin) % 1.0
    kept = np.flatnonzero((inside < shares).all(1))
    new = fractional[kept]
    new[:, axes] = inside[kept] / shares
    cell = structure.cell.copy()
    cell[axes] *= shares[:, None]
    cut = Structure(new @ cell, cell, structure.species[kept], structure.pbc)
    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in elements])
    pairs = neighbours(cut, float(2.0 * _TOO_NEAR * radii.max()))
    near = _TOO_NEAR * (radii[cut.species[pairs.first]] + radii[cut.species[pairs.second]])
    apart = np.linalg.norm(cut.positions[pairs.second] - cut.positions[pairs.first], axis=1)
    bad = (pairs.distances < near) & (pairs.first < pairs.second) & (pairs.distances < apart - 1e-6)
    stays = np.ones(cut.n_atoms, np.bool_)
    for first, second in zip(pairs.first[bad], pairs.second[bad], strict=True):
        if stays[first]:
            stays[second] = False
    return cut.replace(positions=cut.positions[stays], species=cut.species[stays])


KINDS = (
    Kind("melt", "a small cell with the environments of a liquid", "a snapshot or several", "liquid-ta", _melt),
    Kind("molecules", "whole molecules that stand for a molecular liquid", "a snapshot or several", "", _molecules),
    Kind("glass", "the same for a glass or network, with finer angles", "a snapshot or several", "", _glass),
)
