"""Results of calculators to the structures they belong to: by uid where one is carried, else by cell and positions."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grs_evo.datasets.labelling.matching import Match, composition_of, match
from grs_evo.datasets.labelling.results import Result, read_results
from grs_evo.datasets.labels import as_text
from grs_evo.errors import InputError, WrongType, type_of
from grs_evo.files import is_folder, write_whole
from grs_evo.search.population.individual import short_uid
from grs_evo.storage.archive_file import read_archive
from grs_evo.structures.reading import each_atoms
from grs_evo.structures.structure import ase_of, is_atoms

# Å; outputs give positions with five digits or more.
TOLERANCE = 0.01
# eV; two results for one structure that differ by more contradict each other.
_SAME = 1e-4


@dataclass(frozen=True, eq=False)
class Joined:
    """Structures with what calculators found for them."""

    atoms: tuple[Any, ...]  # ase.Atoms with energy, forces and perhaps stress, in the structures' order
    missing: tuple[str, ...]  # structures that have no result
    passed_over: int  # further steps of relaxations: configurations that are no structure's
    by_uid: int  # how many were found by their uid, the others by cell and positions

    def __repr__(self) -> str:
        return f"Joined({len(self.atoms)} labelled, {len(self.missing)} without result)"


@dataclass(frozen=True, eq=False)
class _Place:
    atoms: Any
    source: str


def label(
    results: str | Path | Sequence[str | Path],
    structures: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    tolerance: float = TOLERANCE,
    format: str | None = None,
    types: Sequence[str] = (),
) -> Joined:
    """Join energies, forces and stresses of calculators' outputs to the structures they were computed for.

    A result belongs to the structure whose uid it carries (in extended XYZ, or in the input beside it), else to the one
    with the same cell and atoms; either way cell and atoms are compared. Atoms may stand in another order, wrapped, and
    in a cell that was turned: forces and stress are brought back. Of an output with many configurations, as of a
    relaxation, those are taken that are a structure's.

    Parameters
    ----------
    results : outputs (vasprun.xml, OUTCAR, extended XYZ, what ASE reads), or folders with outputs
    structures : what they were made for: a run folder or archive, structure files, `ase.Atoms`, or several of them
    out : write the labelled structures there, as extended XYZ
    tolerance : Å by which cell vectors and atoms may differ
    format, types : of the results, where the file does not tell

    Raises
    ------
    InputError
        An output of no structure, or of another than its uid says; two that contradict each other; none at all.
    """
    files = [results] if isinstance(results, str | Path) else results
    if is_atoms(files) or not isinstance(files, Sequence) or not all(isinstance(one, str | Path) for one in files):
        raise WrongType(f"label(results, structures): results are {type_of(results)}; they must be names of files")
    places = _structures(structures)
    uids = defaultdict(list)
    kinds = defaultdict(list)
    for k, place in enumerate(places):
        if "grs_uid" in place.atoms.info:
            uids[int(place.atoms.info["grs_uid"])].append(k)
        kinds[composition_of(place.atoms)].append(k)
    found: dict[int, tuple[Result, Match]] = {}
    passed_over = by_uid = 0
    for output in read_results(files, format, types):
        hits = 0
        for one in output:
            named = uids.get(one.uid, []) if one.uid is not None else []
            hit = _find(one, places, named or kinds[composition_of(one.atoms)], tolerance)
            if hit is None:
                continue
            hits += 1
            k, how = hit
            if k not in found:
                by_uid += bool(named)
                found[k] = (one, how)
            elif abs(found[k][0].energy - one.energy) > _SAME:
                raise InputError(
                    f"{one.source}: has {one.energy:.6f} eV for {places[k].source}, and {found[k][0].source} has "
                    f"{found[k][0].energy:.6f} eV; give one of them"
                )
        if not hits:
            raise InputError(_stray(output[0], places, uids, tolerance))
        passed_over += len(output) - hits
    atoms = tuple(_labelled(places[k], *found[k]) for k in sorted(found))
    if out is not None:
        write_whole(Path(out), as_text(atoms).encode())
    missing = tuple(place.source for k, place in enumerate(places) if k not in found)
    return Joined(atoms, missing, passed_over, by_uid)


def _structures(given: Any) -> list[_Place]:
    """All structures, each with how it is called."""
    several = given if isinstance(given, list | tuple) else [given]
    places: list[_Place] = []
    for one in several:
        if isinstance(one, str | Path) and (is_folder(Path(one)) or Path(one).suffix == ".h5"):
            archive = read_archive(one)
            individuals = {one.uid: one for one in (*archive.individuals, *archive.set)}
            places += [
                _Place(archive.annotated(individual), f"{one} {short_uid(uid)}")
                for uid, individual in individuals.items()
            ]
        elif isinstance(one, str | Path):
            places += [_Place(atoms, source) for source, _, atoms in each_atoms(one)]
        elif is_atoms(one):
            places.append(_Place(ase_of(one), f"structure {len(places)}"))
        else:
            raise InputError(
                f"structure {len(places)}: is {type(one).__name__}; it must be ase.Atoms or the name of a file"
            )
    if not places:
        raise InputError("label: no structures to which results could belong")
    return places


def _find(
    one: Result, places: Sequence[_Place], candidates: Iterable[int], tolerance: float
) -> tuple[int, Match] | None:
    """The structure of a configuration, the nearest of those within the tolerance."""
    volume = abs(np.linalg.det(one.atoms.cell[:]))
    best: tuple[int, Match] | None = None
    for k in candidates:
        # cells whose volumes differ by far more than their vectors may are not compared atom by atom
        own = abs(np.linalg.det(places[k].atoms.cell[:]))
        edge = max(1.0, float(np.abs(places[k].atoms.cell[:]).max()))
        if composition_of(places[k].atoms) != composition_of(one.atoms) or abs(volume - own) > 12 * tolerance * edge**2:
            continue
        how = match(places[k].atoms, one.atoms, tolerance)
        if how is not None and (best is None or how.farthest < best[1].farthest):
            best = (k, how)
    return best


def _stray(one: Result, places: Sequence[_Place], uids: dict[int, list[int]], tolerance: float) -> str:
    """Why a result belongs to no structure, in a line."""
    formula = one.atoms.get_chemical_formula()
    if one.uid is not None and uids.get(one.uid):
        said = places[uids[one.uid][0]]
        return (
            f"{one.source}: says that it is of {said.source} (uid {short_uid(one.uid)}), but its cell or atoms differ "
            f"by more than {tolerance:g} Å; was it relaxed, or the input changed?"
        )
    alike = sum(composition_of(place.atoms) == composition_of(one.atoms) for place in places)
    what = f"{alike} have its composition" if alike else "none has its composition"
    return (
        f"{one.source}: {formula} belongs to none of the {len(places)} structures: {what}"
        f"{f', but another cell or atoms (more than {tolerance:g} Å off)' if alike else ''}"
    )


def _labelled(place: _Place, result: Result, how: Match) -> Any:
    """The structure with the result's energy, forces and stress in its own order and orientation."""
    from ase.calculators import singlepoint

    calculator: Any = singlepoint.SinglePointCalculator  # ASE gives no types
    atoms = place.atoms.copy()
    for key in ("energy", "stress", "virial", "free_energy"):
        atoms.info.pop(key, None)
    atoms.arrays.pop("forces", None)
    found: dict[str, Any] = {"energy": result.energy, "forces": result.forces[how.order] @ how.turn}
    if result.stress is not None:
        full = how.turn.T @ result.stress @ how.turn
        found["stress"] = full.ravel()[[0, 4, 8, 5, 2, 1]]
    atoms.calc = calculator(atoms, **found)
    atoms.info["grs_label_source"] = result.source
    return atoms
