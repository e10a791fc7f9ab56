"""Where internals live today that the tests of what must not change have to reach: one file to edit when modules move.

Everything else in those tests goes through `grs_evo` (public names), the command line, or h5py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grs_evo.cli.commands import cli, main
from grs_evo.driver.config.run_file import read as read_run_file
from grs_evo.driver.config.toml import to_toml
from grs_evo.parallel import decisions as control
from grs_evo.search import counters
from grs_evo.search.operators import table
from grs_evo.storage import schema
from grs_evo.storage.archive_file import write_archive
from grs_evo.storage.checkpoint import Checkpoint
from grs_evo.storage.target_file import TargetData

__all__ = [
    "ARCHIVE_ATTRIBUTES",
    "ARCHIVE_COLUMNS",
    "ARCHIVE_SCHEMA",
    "ORDERS",
    "checkpoint_again",
    "checkpoint_content",
    "cli",
    "main",
    "read_run_file",
    "target_structures",
    "to_toml",
    "write_archive",
]

# Names whose order is that of columns and words in files.
ORDERS: dict[str, tuple[str, ...]] = {
    "COUNTERS": counters.COUNTERS,
    "OPERATORS": table.operator_names(),
    "STAT_NAMES": counters.STAT_NAMES,
    "CAUSES": counters.CAUSES,
    "REASONS": control.REASONS,
}
ARCHIVE_SCHEMA: int = schema.ARCHIVE_SCHEMA
ARCHIVE_COLUMNS = [(one.name, one.shape, one.unit, one.meaning) for one in schema.COLUMNS]
ARCHIVE_ATTRIBUTES: dict[str, str] = dict(schema.ATTRIBUTES)


def checkpoint_content(path: Path) -> dict[str, Any]:
    """What a checkpoint file holds, under the names of schema 1, whatever the class calls them."""
    found = Checkpoint.from_bytes(path.read_bytes())
    return {
        "step": found.step,
        "round": found.round,
        "generation": found.generation,
        "verdict": found.decision,
        "states": found.states,
        "set": found.set,
        "past": found.past,
        "seconds": found.seconds,
        "fingerprint": found.fingerprint,
        "run_file": found.run_file,
        "finished": found.finished,
        "extra": found.extra,
    }


def checkpoint_again(path: Path) -> bytes:
    """The content of a checkpoint file, read and made anew."""
    return Checkpoint.from_bytes(path.read_bytes()).to_bytes()


def target_structures(path: Path) -> tuple[Any, ...]:
    """The structures of a stored target."""
    return TargetData.read(path).structures
