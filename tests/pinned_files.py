"""Files that earlier versions wrote, and what they held then: every value by its digest, in a JSON file beside each.

The files and what is said of them stay as they are. ``python tests/pinned_files.py`` describes those in
tests/data/pinned/ that have no description yet: for a file of a new schema, on the day it is put there.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import places

from grs_evo import read_archive, read_target

DATA = Path(__file__).parent / "data"
PINNED = DATA / "pinned"
STOPPED = PINNED / "stopped-run"
# Arrays of at most this many numbers are written out.
_FEW = 8


# ---------------------------------------------------------------------------------------------------------------------
# what a file holds, through the program that reads it


def archive_facts(path: Path) -> dict[str, Any]:
    """An archive, as `read_archive` gives it."""
    found = read_archive(path)
    facts = {
        "elements": list(found.elements),
        "term_names": list(found.term_names),
        "objective_names": list(found.objective_names),
        "objectives": found.objectives,
        "individuals": [_individual(one) for one in found.individuals],
        "set": [_individual(one) for one in found.set],
        "history": found.history,
        "target": found.target,
        "basis_text": found.basis_text,
        "basis_hash": found.basis.hash,
        "run_file": found.run_file,
        "seed": found.seed,
        "archive_hash": found.archive_hash,
        "attributes": found.attributes,
    }
    return dict(_plain(facts))


def _individual(one: Any) -> dict[str, Any]:
    return {
        **_structure(one.structure),
        "value": one.value,
        "terms": one.terms,
        "uid": one.uid,
        "parents": list(one.parents),
        "operator": one.operator,
        "island": one.island,
        "generation": one.generation,
        "evaluation": one.evaluation,
        "line": {name: np.ascontiguousarray(one.line[name]) for name in one.line.dtype.names},
    }


def _structure(one: Any) -> dict[str, Any]:
    return {"positions": one.positions, "cell": one.cell, "species": one.species, "pbc": one.pbc}


def target_facts(path: Path) -> dict[str, Any]:
    """A target, as `read_target` gives it, and its structures."""
    found = read_target(path)
    facts = {
        "arrays": found.to_arrays(),
        "basis_text": found.own_basis().to_text(),
        "basis_hash": found.own_basis().hash,
        "names": list(found.names),
        "groups": list(found.groups),
        "weights": found.weights,
        "description": found.description,
        "n_environments": found.n_environments,
        "fractions": found.fractions,
        "volume_per_atom": found.volume_per_atom,
        "mean_is_exact": found.mean_is_exact,
        "structures": [_structure(one) for one in places.target_structures(path)],
    }
    return dict(_plain(facts))


def checkpoint_facts(path: Path) -> dict[str, Any]:
    """A checkpoint, as a resume reads it."""
    return dict(_plain(places.checkpoint_content(path)))


def _plain(value: Any) -> Any:
    """Arrays and long texts as type, shape and digest; numbers in full."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.ndarray):
        kept = np.ascontiguousarray(value)
        facts = {"type": kept.dtype.str, "shape": list(kept.shape), "digest": _digest(kept.tobytes())}
        if 0 < kept.size <= _FEW and kept.dtype.kind in "fiu":
            facts["values"] = kept.ravel().tolist()
        return facts
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str) and len(value) > 80:
        return {"characters": len(value), "digest": _digest(value.encode())}
    return value


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


# file, relative to tests/data -> what reads it
FILES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "archive-schema-1.h5": archive_facts,
    "archive-schema-2.h5": archive_facts,
    "pinned/checkpoint-schema-1.h5": checkpoint_facts,
    "pinned/target-schema-1.h5": target_facts,
    "pinned/target-alloy-schema-1.h5": target_facts,
    "pinned/stopped-run/archive.h5": archive_facts,
    "pinned/stopped-run/target.h5": target_facts,
    "pinned/stopped-run/checkpoints/ckpt_00000009.h5": checkpoint_facts,
}


def description(name: str) -> Path:
    """Where it is said what a file holds."""
    parts = Path(name).with_suffix("").parts
    return PINNED / f"{'-'.join(part for part in parts if part not in ('pinned', 'checkpoints'))}.json"


# ---------------------------------------------------------------------------------------------------------------------
# what a file holds, through h5py alone


def content(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]:
    """Datasets, attributes of the root, and attributes of each dataset."""
    datasets: dict[str, Any] = {}
    notes: dict[str, dict[str, Any]] = {}
    with h5py.File(path) as file:

        def add(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                datasets[name] = _plain(item[()] if item.shape else item.asstr()[()])
                notes[name] = dict(item.attrs)

        file.visititems(add)
        return datasets, {name: _plain(value) for name, value in file.attrs.items()}, notes


def main() -> None:
    """Describe the files that are not described yet."""
    for name, read in FILES.items():
        path = description(name)
        if path.exists():
            print(f"{path}: stays as it is")
            continue
        path.write_text(json.dumps(read(DATA / name), separators=(",", ":"), sort_keys=True) + "\n")
        print(f"{path}: written")


if __name__ == "__main__":
    sys.exit(main())
