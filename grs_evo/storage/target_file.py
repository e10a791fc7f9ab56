"""What a run stands on, and targets in files of their own: basis, target and its structures, sealed and versioned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.options import BasisOptions
from grs_evo.errors import InputError, expect, within
from grs_evo.files import is_folder, write_whole
from grs_evo.storage.checks import Unsound, check_structures, check_target, json_of
from grs_evo.storage.hdf5 import below, check_schema, from_image, read_arrays, sealed, to_image
from grs_evo.structures.structure import Structure, pack_structures, unpack_structures
from grs_evo.targets.target import Target

TARGET_FILE = "grs_evo target"
TARGET_SCHEMA = 1
# how a run folder calls its own
_IN_A_RUN = "target.h5"
_KEPT_OUT = "kept_out_"


@dataclass(frozen=True, eq=False)
class TargetData:
    """What a run stands on: made once on rank 0, stored in the run folder, handed to the other ranks."""

    basis: Basis
    target: Target
    structures: tuple[Structure, ...]  # of the target; empty for random alloys and stored targets without them
    chosen: BasisOptions | None = None  # of the basis, where the target's structures decided; known to its maker only
    kept_out: Target | None = None  # frames that the search does not see, with their structures

    def to_bytes(self) -> bytes:
        """An HDF5 image."""
        tree: dict[str, Any] = {f"target/{name}": array for name, array in self.target.to_arrays().items()}
        tree["basis"] = self.basis.to_text()
        for name, column in pack_structures(self.structures).items():
            tree[f"structures/{name}"] = column
        if self.kept_out is not None:
            tree |= {f"{_KEPT_OUT}target/{name}": array for name, array in self.kept_out.to_arrays().items()}
            packed = pack_structures(self.kept_out.structures)
            tree |= {f"{_KEPT_OUT}structures/{name}": column for name, column in packed.items()}
        from grs_evo import __version__

        attributes = {"format": TARGET_FILE, "schema": TARGET_SCHEMA, "version": __version__}
        return to_image(tree, attributes | {"elements": " ".join(self.basis.elements)})

    def to_file(self) -> bytes:
        """The content of target.h5: the image under a seal, so that damage is found."""
        return sealed(self.to_bytes())

    @staticmethod
    def from_bytes(data: bytes) -> TargetData:
        return _target_data(from_image(data)[0], "target")

    @staticmethod
    def read(path: Path) -> TargetData:
        """A file of what `to_file` gives.

        Raises
        ------
        InputError
            Not readable, damaged, not a target, or of a newer schema.
        """
        tree, attributes, _ = read_arrays(path, TARGET_FILE)
        check_schema(path, TARGET_FILE, attributes.get("schema"), TARGET_SCHEMA, str(attributes.get("version")))
        try:
            return _target_data(tree, str(path))
        except InputError:
            raise
        except (KeyError, ValueError, IndexError, TypeError, RecursionError, OverflowError) as error:
            what = f"no {error.args[0]}" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}: is no whole {TARGET_FILE} file ({what})") from None


def _target_data(tree: dict[str, Any], source: str) -> TargetData:
    if not isinstance(tree["basis"], str):
        raise Unsound("basis is no text")
    json_of(tree["basis"], "basis")
    with within(source):
        basis = Basis.from_text(tree["basis"])
    target, structures = _target_of(tree, source, basis)
    kept_out = None
    if below(tree, f"{_KEPT_OUT}target"):
        kept_out, _ = _target_of(tree, source, basis, _KEPT_OUT)
    return TargetData(basis, target, structures, kept_out=kept_out)


def _target_of(
    tree: dict[str, Any], source: str, basis: Basis, before: str = ""
) -> tuple[Target, tuple[Structure, ...]]:
    """A target and its structures, in groups whose names begin alike."""
    described, packed = below(tree, f"{before}target"), below(tree, f"{before}structures")
    check_target(described, len(basis.elements))
    check_structures(packed, len(basis.elements))
    target = Target.from_arrays(described, source, basis)
    with within(source):
        target.check_basis(basis)
    structures = tuple(unpack_structures(packed))
    # With a random alloy only the sites are stored, which its distribution is not that of.
    if [one.n_atoms for one in structures] == target.n_atoms.tolist():
        target = replace(target, structures=structures)
    return target, structures


def write_target(target: Target, path: str | Path, structures: Sequence[Structure] = ()) -> None:
    """Store a target with its basis, whole or not at all: a file for `read_target`, `target.stored` and ``--target``.

    Parameters
    ----------
    structures : what it was made of; a search can take densities and parent lattices from them

    Raises
    ------
    InputError
        The target came without its basis.
    StorageError
        The file cannot be written.
    """
    expect(target, Target, "target", "write_target(target, path)")
    write_whole(Path(path), TargetData(target.own_basis(), target, tuple(structures)).to_file())


def read_target(path: str | Path, basis: Basis | None = None) -> Target:
    """A target that was stored by `write_target`, `grs-evo target` or a run; its basis is in ``.basis``.

    Parameters
    ----------
    path : a file, or the folder of a run
    basis : the basis that it must have been made with

    Raises
    ------
    InputError
        Not readable, damaged, not a target, of a newer schema, or of another basis than `basis`.
    """
    file = Path(path) / _IN_A_RUN if is_folder(Path(path)) else Path(path)
    target = TargetData.read(file).target
    if basis is not None:
        expect(basis, Basis, "basis", "read_target(path, basis)")
        with within(str(file)):
            target.check_basis(basis)
    return target
