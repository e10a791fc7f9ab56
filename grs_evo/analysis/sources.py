"""What the tools are given on their command lines, into structures, environments and a basis.

A source is a run folder, an archive file, or a structure file (with an index, as `readers` takes it); ``name=source``
gives it a name for the legend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grs_evo.analysis.distributions import environments
from grs_evo.analysis.distributions.environments import Environments
from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.errors import InputError
from grs_evo.search.population.individual import Individual, order_key
from grs_evo.storage.archive_file import Archive, read_archive
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target

PICKS = ("auto", "set", "front", "best", "all")


@dataclass(frozen=True, eq=False)
class StructureSet:
    """Structures under one name."""

    name: str
    structures: list[Structure]
    elements: tuple[str, ...]


def split_name(source: str) -> tuple[str, str]:
    """``"name=path"`` as (name, path); without a name the path's last part without suffixes serves."""
    name, equals, path = source.partition("=")
    if equals and not Path(source).exists():
        return name, path
    last = Path(source).name.split("@")[0]
    stem = Path(last).stem if Path(last).suffix else last
    if stem in ("archive", "") and Path(source).resolve().parent.name:
        stem = Path(source).resolve().parent.name if stem == "archive" else Path(source).resolve().name
    return stem, source


def is_archive(path: str) -> bool:
    """Whether a source is a run folder or an archive rather than structures."""
    place = Path(path)
    return place.suffix in (".h5", ".hdf5") or (
        place.is_dir()
        and ((place / "archive.h5").exists() or (place / "run.toml").exists() or (place / "checkpoints").exists())
    )


def archive(path: str) -> Archive:
    """The archive of a run folder or file; an `InputError` when it is none."""
    return read_archive(path)


def target_of(found: Archive, name: str) -> Target | None:
    """The target that an archive carries, or None for one that carries none."""
    return Target.from_arrays(found.target, name) if found.target else None


def pick(found: Archive, which: str, name: str) -> list[Individual]:
    """Individuals of an archive.

    Parameters
    ----------
    which : ``"set"`` the representative set, ``"front"`` the Pareto front, ``"best"`` the lowest value, ``"all"``, or
        ``"auto"``: the set when there is one, else the front
    """
    if which == "auto":
        which = "set" if found.set else "front"
    if which == "set":
        chosen = list(found.set)
        if not chosen:
            raise InputError(f"{name}: the archive holds no representative set; use --pick front, best or all")
        return chosen
    individuals = list(found.individuals)
    if not individuals:
        raise InputError(f"{name}: the archive is empty")
    if which == "all":
        return individuals
    if which == "best":
        return [min(individuals, key=order_key)]
    from grs_evo.analysis.runs.hypervolume import pareto_front

    front = pareto_front(found.objectives)
    return [one for one, on in zip(individuals, front, strict=True) if on]


def structures(source: str, which: str = "auto", elements: Sequence[str] | None = None) -> StructureSet:
    """The structures of a source, species indexing `elements` (default: the archive's, or the file's)."""
    name, path = split_name(source)
    if is_archive(path):
        found = archive(path)
        chosen = [one.structure for one in pick(found, which, path)]
        if elements is None or tuple(elements) == tuple(found.elements):
            return StructureSet(name, chosen, tuple(found.elements))
        return StructureSet(name, [_reindexed(one, found.elements, elements, path) for one in chosen], tuple(elements))
    from grs_evo.structures.reading import read_structures, read_with_elements

    if elements is None:
        order, entries = read_with_elements(path)
    else:
        order, entries = tuple(elements), read_structures(path, elements)
    return StructureSet(name, [entry.structure for entry in entries], order)


def _reindexed(structure: Structure, own: Sequence[str], wanted: Sequence[str], source: str) -> Structure:
    for symbol in {own[k] for k in structure.species}:
        if symbol not in wanted:
            raise InputError(f"{source}: element {symbol} is not in the basis; its elements are {', '.join(wanted)}")
    place = np.array([wanted.index(symbol) if symbol in wanted else -1 for symbol in own], dtype=np.int32)
    return structure.replace(species=place[structure.species])


def basis(given: str | None, sources: Sequence[str]) -> Basis:
    """The basis to describe with: the one given (an archive or a .yace file), or that of the first archive named.

    With structure files alone it is built with the paper's settings for the elements they hold.
    """
    if given is not None:
        if given.endswith(".yace"):
            from grs_evo.descriptors.yace.file import read_yace

            return read_yace(given)
        return _basis_of(given)
    for source in sources:
        path = split_name(source)[1]
        if is_archive(path):
            return _basis_of(path)
    from ase.data import atomic_numbers

    from grs_evo.structures.reading import elements_of

    found = {symbol for source in sources for symbol in elements_of(split_name(source)[1])}
    elements = sorted(found, key=lambda symbol: int(atomic_numbers[symbol]))
    ranks = 4 if len(elements) < 4 else 3  # the paper drops rank 4 for four elements
    return build_basis(elements, (8, 2, 2, 1)[:ranks], (0, 2, 2, 1)[:ranks])


def _basis_of(path: str) -> Basis:
    found: Basis = archive(path).basis
    return found


def target_structures(source: str, of: Basis) -> list[Structure]:
    """The structures that a target was made of, species indexing the basis; of an archive alone there are none."""
    path = split_name(source)[1]
    if not is_archive(path):
        return structures(source, elements=of.elements).structures
    kept = target_of(archive(path), path)
    return [] if kept is None else list(environments.with_all(kept, of, path).structures)


def target(source: str, of: Basis, which: str = "auto", drawn: bool = True) -> tuple[str, Environments]:
    """The environments of a target: the one an archive was made for, or all structures of a file.

    Parameters
    ----------
    drawn : see `environments.of_target`
    """
    name, path = split_name(source)
    if is_archive(path):
        kept = target_of(archive(path), path)
        if kept is None:
            raise InputError(f"{path}: the archive holds no target; name a structure file as the target")
        kept.check_basis(of)
        return (name if "=" in source else "target"), environments.of_target(
            environments.with_all(kept, of, path), drawn
        )
    read = structures(source, which, of.elements)
    return (name if "=" in source else f"target ({name})"), environments.of_structures(read.structures, of)
