"""The runs that ship with the program: their run files, small targets and scripts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from grs_evo.errors import InputError, nearest
from grs_evo.files import is_there, shipped
from grs_evo.text import listing_of

# Pictures of documents stay behind.
_LEFT = (".png",)


def examples() -> dict[str, str]:
    """Name of each run, and the heading of its README."""
    found = {}
    for path in sorted(shipped("runs").glob("*/README.md")):
        found[path.parent.name] = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    return found


def listing() -> str:
    """The runs, one a line."""
    return listing_of(examples())


def copy_example(name: str, place: Path) -> list[Path]:
    """Copy a run, with the targets that it shares with others; returns the files.

    Raises
    ------
    InputError
        There is no run of this name; the folder exists.
    """
    known = examples()
    if name not in known:
        raise InputError(f"--example {name}: no such run{nearest(name, known)}; there are {', '.join(known)}")
    if is_there(place):
        raise InputError(f"{place}: exists already; choose another -o")
    source = shipped("runs") / name
    place.mkdir(parents=True)
    written = []
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix not in _LEFT:
            written.append(Path(shutil.copy(path, place / path.name)))
    for path in [one for one in written if one.suffix == ".toml"]:
        written += _brought(path, source, place)
    return written


def _brought(run_file: Path, source: Path, place: Path) -> list[Path]:
    """Targets in the folders of other runs come along, and the run file names them where they are now."""
    text = run_file.read_text(encoding="utf-8")
    brought = []
    for other in re.findall(r'"(\.\./[^"@:]+)"', text):
        new = place / f"{Path(other).parent.name}-{Path(other).name}"
        if not new.exists():
            shutil.copy(source / other, new)
            brought.append(new)
        text = text.replace(f'"{other}"', f'"{new.name}"')
    run_file.write_text(text, encoding="utf-8")
    return brought
