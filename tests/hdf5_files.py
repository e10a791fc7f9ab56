"""Files of the program with something changed by h5py, sealed again or not: what damage and malice leave."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py

from grs_evo.storage.hdf5 import SEAL_BYTES, sealed


def unsealed_copy(source: Path, copy: Path) -> Path:
    """The HDF5 file within a sealed one, as earlier versions wrote it."""
    copy.write_bytes(source.read_bytes()[SEAL_BYTES:])
    return copy


def changed(source: Path, copy: Path, change: Callable[[h5py.File], object], seal: bool = True) -> Path:
    """A copy of a sealed file after `change`; with a seal that fits, as whoever knows how it is made could write it."""
    unsealed_copy(source, copy)
    with h5py.File(copy, "r+") as file:
        change(file)
    if seal:
        copy.write_bytes(sealed(copy.read_bytes()))
    return copy


def set_value(name: str, index: object, value: object) -> Callable[[h5py.File], object]:
    """A change of numbers of one dataset."""

    def change(file: h5py.File) -> None:
        file[name][index] = value

    return change


def replaced(name: str, value: object) -> Callable[[h5py.File], object]:
    """A change of a whole dataset, or its absence for None."""

    def change(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file.create_dataset(name, data=value)

    return change
