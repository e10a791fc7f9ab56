"""The whole state of a run at one generation, as a sealed file; the newest whole one of a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo import __version__
from grs_evo.errors import InputError, StorageError
from grs_evo.files import read_file, write_whole
from grs_evo.parallel.decisions import Decision
from grs_evo.search.population.individual import without_lines
from grs_evo.storage.checks import array_of, check_individuals
from grs_evo.storage.hdf5 import Damaged, Tree, below, from_image, sealed, stack, to_image, unsealed, unstack

SCHEMA = 1
_WHAT = "grs_evo checkpoint"
# more than any basis has
_ELEMENTS = 120
_NAME = re.compile(r"ckpt_(\d{8,})\.h5")

# what becomes of a file that was made to look like a checkpoint
_UNREADABLE = (Damaged, KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError)

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A run between two generations."""

    step: int  # generations made in all rounds together; also the number in the file's name
    round: int
    generation: int  # within the round
    decision: NDArray[np.float64]  # on this generation, see control.Verdict
    states: list[Arrays]  # one per island
    set: Arrays  # the representative set so far, as population.pack makes it
    past: NDArray[np.float64]  # history rows of earlier rounds, (n, 2 + n_stats): round, island, statistics
    seconds: float  # s spent, all sessions together
    fingerprint: dict[str, str]  # what the run is: hashes of run file, basis, target; seed
    run_file: str  # effective, as text
    finished: str = ""  # reason, when the run is at its end
    extra: dict[str, Any] = field(default_factory=dict)  # plain numbers and text that rounds need

    def to_bytes(self) -> bytes:
        """The content of the file."""
        tree: Tree = {"verdict": self.decision, "past": self.past, "run_file": self.run_file}
        tree.update(stack(self.states, "islands"))
        tree.update({f"set/{name}": column for name, column in self.set.items()})
        attributes = {
            "format": _WHAT,
            "schema": SCHEMA,
            "version": __version__,
            "step": self.step,
            "round": self.round,
            "generation": self.generation,
            "seconds": self.seconds,
            "finished": self.finished,
            "fingerprint": json.dumps(self.fingerprint, sort_keys=True),
            "extra": json.dumps(self.extra, sort_keys=True),
        }
        return sealed(to_image(tree, attributes, explained=False))

    @staticmethod
    def from_bytes(data: bytes) -> Checkpoint:
        """The inverse of `to_bytes`.

        Raises
        ------
        Damaged
            Not what was written, or written by a newer program.
        """
        tree, attributes = from_image(unsealed(data))
        if attributes.get("format") != _WHAT:
            raise Damaged("is no checkpoint")
        if int(attributes["schema"]) > SCHEMA:
            raise Damaged(
                f"has schema {attributes['schema']}, written by grs_evo {attributes.get('version')}; "
                f"this one reads up to {SCHEMA}"
            )
        _check_individuals(tree)
        decision = np.asarray(tree["verdict"])
        Decision.from_array(decision)
        return Checkpoint(
            step=int(attributes["step"]),
            round=int(attributes["round"]),
            generation=int(attributes["generation"]),
            decision=decision,
            states=unstack(tree, "islands"),
            set=below(tree, "set"),
            past=np.asarray(tree["past"]),
            seconds=float(attributes["seconds"]),
            fingerprint=json.loads(attributes["fingerprint"]),
            run_file=str(tree["run_file"]),
            finished=str(attributes["finished"]),
            extra=json.loads(attributes["extra"]),
        )


def _check_individuals(tree: Tree) -> None:
    """Raise Unsound (a ValueError) unless the individuals of the set and of all islands can be computed with."""
    groups = {"set": below(tree, "set")}
    for name in ("population", "archive", "outbox"):
        stacked, start = below(tree, "islands"), f"{name}."
        groups[name] = {key[len(start) :]: column for key, column in stacked.items() if key.startswith(start)}
    for columns in groups.values():
        if "line_length" not in columns:  # of an earlier version
            columns.update(without_lines(columns))
        n_terms = array_of(columns, "terms", "f", (None, None)).shape[1]
        check_individuals(columns, _ELEMENTS, n_terms)


def save(checkpoint: Checkpoint, folder: Path, keep: int, check: Callable[[], None]) -> Path:
    """Write a checkpoint into its folder, and remove all but the newest `keep`.

    Parameters
    ----------
    check : raises when this process does not own the folder any more

    Raises
    ------
    StorageError
        It could not be written; the older ones are as they were.
    """
    path = folder / f"ckpt_{checkpoint.step:08d}.h5"
    try:
        write_whole(path, checkpoint.to_bytes(), check)
        for old in files(folder)[keep:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        kept = files(folder)
        last = f"the last whole checkpoint is {kept[0].name}" if kept else "there is no earlier checkpoint"
        text = error if isinstance(error, StorageError) else f"{folder}: {error.strerror or error}"
        raise StorageError(f"{text}; {last}") from error
    return path


def files(folder: Path) -> list[Path]:
    """Checkpoint files, newest first; half-written ones have other names."""
    try:
        found = [
            (int(match[1]), path)
            for path in folder.iterdir()
            if (match := _NAME.fullmatch(path.name)) and path.is_file()
        ]
    except OSError:
        return []
    return [path for _, path in sorted(found, reverse=True)]


def newest(folder: Path, tell: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint, None when the run has not come to one.

    Parameters
    ----------
    tell : takes one line about each damaged file that is passed over

    Raises
    ------
    InputError
        There are checkpoints but none is whole.
    """
    complaints = []
    for path in files(folder):
        try:
            checkpoint = Checkpoint.from_bytes(read_file(path))
            if checkpoint.step != int(path.stem.partition("_")[2]):
                raise Damaged(f"holds step {checkpoint.step}")
            return checkpoint
        except _UNREADABLE as error:
            complaints.append(f"{path.name} {error}")
            tell(f"passed over: checkpoint {complaints[-1]}")
        except OSError as error:
            complaints.append(f"{path.name} cannot be read: {error.strerror}")
            tell(f"passed over: checkpoint {complaints[-1]}")
    if complaints:
        raise InputError(
            f"{folder}: none of the {len(complaints)} checkpoints is whole ({complaints[0]}); start the run anew"
        )
    return None
