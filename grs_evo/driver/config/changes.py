"""What of a run file may change at a resume, and the files that it names."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from grs_evo.driver.config.run_file import EXTENDABLE, RunFile, parse
from grs_evo.driver.config.toml import to_toml
from grs_evo.errors import InputError, nearest, within
from grs_evo.options import short
from grs_evo.structures.reading import split_name


def map_files(run: RunFile, change: Callable[[str, str], str]) -> RunFile:
    """The run file with every file name replaced by `change(key, name)`."""
    raw = json.loads(run.model_dump_json())
    for table, key, label, _ in _file_keys(raw):
        value = table[key]
        if isinstance(value, list):
            table[key] = [change(f"{label}_{k}", name) for k, name in enumerate(value)]
        elif value is not None:
            table[key] = change(label, value)
    return RunFile.model_validate_json(json.dumps(raw))


def _file_keys(raw: dict[str, Any]) -> list[tuple[dict[str, Any], str, str, str]]:
    """(table, key, what a copy's name begins with, how messages call the key) of all keys that name files."""
    found: list[tuple[dict[str, Any], str, str, str]] = [
        (raw["basis"], "yace", "basis", "basis.yace"),
        (raw["target"], "files", "target", "target.files"),
        (raw["target"], "stored", "target", "target.stored"),
        (raw["candidates"], "file", "candidates", "candidates.file"),
        (raw["set"], "given", "set", "set.given"),
    ]
    islands = ((f"islands{k}", f"islands[{k}]", one) for k, one in enumerate(raw["islands"]))
    for label, place, holder in (("search", "search", raw["search"]), *islands):
        if holder["candidates"] is not None:
            found.append((holder["candidates"], "file", label, f"{place}.candidates.file"))
    return found


def check_files(run: RunFile, folder: Path) -> None:
    """Raise an InputError unless every file that the run file names is there, also those that nothing reads.

    Parameters
    ----------
    folder : where the file names start
    """
    for table, key, _, place in _file_keys(json.loads(run.model_dump_json())):
        names = table[key] if isinstance(table[key], list) else [table[key]]
        for name in names:
            if name is None:
                continue
            with within(place):
                path, _ = split_name(name, folder)
                if not path.exists():
                    raise InputError(f"{path}: no such file")
                if not os.access(path, os.R_OK):
                    raise InputError(f"{path}: cannot be read; permission is denied")


def gather_files(run: RunFile, folder: Path) -> tuple[RunFile, dict[str, Path]]:
    """The run file with its files under inputs/, and which file each is a copy of.

    Parameters
    ----------
    folder : where the file names start now
    """
    copies: dict[str, Path] = {}

    def change(key: str, name: str) -> str:
        path, index = split_name(name, folder)
        inside = f"inputs/{key}_{path.name}"
        if path.is_dir():  # a run folder may be made within it: copy what is read of it, file by file
            copies.update({f"{inside}/{file.relative_to(path)}": file for file in path.rglob("*.json")})
        else:
            copies[inside] = path
        return inside if index is None else f"{inside}@{index}"

    return map_files(run, change), copies


def differences(old: RunFile, new: RunFile) -> list[str]:
    """What differs between two run files, one line per key."""
    before, after = _flat(old.model_dump()), _flat(new.model_dump())
    return [
        f"{key}: {short(before.get(key))} before, {short(after.get(key))} now"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping) and value:
        return {k: v for name, one in value.items() for k, v in _flat(one, f"{path}.{name}" if path else name).items()}
    if isinstance(value, tuple | list) and value and isinstance(value[0], Mapping):
        return {k: v for n, one in enumerate(value) for k, v in _flat(one, f"{path}[{n}]").items()}
    return {path: value}


def extended(run: RunFile, changes: tuple[str, ...]) -> RunFile:
    """A run file with `key=value` changes of what is safe to change.

    Raises
    ------
    InputError
        No `=`, a key that `resume` must not change, or a value that the key does not take.
    """
    overrides: dict[str, Any] = {}
    for change in changes:
        key, equals, value = change.partition("=")
        key = key.strip()
        if not equals:
            raise InputError(f"--extend {change}: must be key=value, for instance stop.generations=500")
        table = key.partition(".")[0]
        if table not in EXTENDABLE:
            keys = [f"{name}.{field}" for name, options in EXTENDABLE.items() for field in options.model_fields]
            raise InputError(
                f"--extend {change}: {key} cannot change in a run that has begun{nearest(key, keys)}; "
                f"allowed are {', '.join(keys)}"
            )
        overrides[key] = _literal(value.strip())
    text = to_toml(run)
    return parse(text, f"--extend {' '.join(changes)}", overrides)


def _literal(text: str) -> Any:
    if text in ("none", "null", ""):
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
