"""The table of export formats: one record for each, and nothing else to touch to add one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from grs_evo.exporters import dft, formats
from grs_evo.exporters.formats import Calculation
from grs_evo.files import write_whole
from grs_evo.plugins import Answer
from grs_evo.structures.formats import FORMATS


@dataclass(frozen=True)
class Context:
    """What writers know beside the structures."""

    elements: Sequence[str]  # of the run, in its order
    calculation: Calculation


@dataclass(frozen=True)
class Exporter:
    """A format: one of `together`, `each` and `place`.

    Texts can go to standard output, and files are then written by `write`; formats that need a place of their own
    (folders, databases) give `place`.
    """

    name: str
    suffixes: tuple[str, ...]  # of file names that tell it
    together: Callable[[Sequence[Any], Context], bytes] | None = None  # all structures in one file
    each: Callable[[Any, Context], bytes] | None = None  # a file for every structure, name-001.suffix and so on
    place: Callable[[Path, Sequence[Any], Context], list[Path]] | None = None
    folders: bool = False  # `place` makes path/001/POSCAR and so on
    apart: bool = False  # `place` makes a file or folder for every structure

    ANSWERS: ClassVar[Mapping[str, Answer]] = {
        "together": Answer("bytes", lambda content, *_: isinstance(content, bytes)),
        "each": Answer("bytes", lambda content, *_: isinstance(content, bytes)),
        "place": Answer(
            "a list of Path", lambda files, *_: isinstance(files, list) and all(isinstance(one, Path) for one in files)
        ),
    }

    @property
    def is_apart(self) -> bool:
        """Whether every structure has a file of its own."""
        return self.apart or self.each is not None

    def write(self, path: Path, atoms: Sequence[Any], context: Context) -> list[Path]:
        """The files written."""
        if self.place is not None:
            return self.place(path, atoms, context)
        if self.together is not None:
            write_whole(path, self.together(atoms, context))
            return [path]
        assert self.each is not None
        files = []
        for k, one in enumerate(atoms, start=1):
            place = path if len(atoms) == 1 else formats.numbered(path, k, len(atoms))
            write_whole(place, self.each(one, context))
            files.append(place)
        return files


EXPORTERS: dict[str, Exporter] = {
    one.name: one
    for one in (
        Exporter("extxyz", FORMATS["extxyz"].suffixes, together=lambda atoms, _: formats.extended_xyz(atoms)),
        Exporter("poscar", FORMATS["poscar"].suffixes, each=lambda one, _: formats.poscar(one)),
        Exporter("cif", FORMATS["cif"].suffixes, together=lambda atoms, _: formats.cif(atoms)),
        Exporter(
            "lammps", FORMATS["lammps"].suffixes, each=lambda one, known: formats.lammps_data(one, known.elements)
        ),
        Exporter(
            "espresso",
            (".pwi", ".in"),
            place=lambda path, atoms, known: formats.quantum_espresso(path, atoms, known.calculation),
            apart=True,
        ),
        Exporter("vasp", (), place=lambda path, atoms, _: formats.vasp_folders(path, atoms), folders=True, apart=True),
        Exporter("db", (".db",), place=lambda path, atoms, _: formats.database(path, atoms)),
        Exporter("chemiscope", (".json", ".json.gz"), place=lambda path, atoms, _: formats.chemiscope(path, atoms)),
        Exporter("traj", (".traj",), place=lambda path, atoms, _: formats.trajectory(path, atoms)),
        Exporter("cp2k", (".inp",), each=lambda one, _: dft.cp2k(one)),
        Exporter("abinit", (".abi",), each=lambda one, _: dft.abinit(one)),
        Exporter("castep", (".cell",), each=lambda one, _: dft.castep(one)),
        Exporter("gpaw", (".py",), each=lambda one, _: dft.gpaw(one)),
    )
}
