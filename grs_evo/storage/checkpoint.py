"""The whole state of a run at one generation, as sealed files; the newest whole one of a folder.

One file holds everything. Of runs with many islands each rank writes a file with its own islands, a shard, and the
checkpoint names them with their digests; it is written when all of them are on disk, and is whole only with them.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo import __version__
from grs_evo.errors import InputError, StorageError
from grs_evo.files import read_file, write_whole
from grs_evo.parallel.decisions import Decision
from grs_evo.search.population.individual import Individual, pack, unpack_of, without_lines
from grs_evo.storage.checks import array_of, check_individuals
from grs_evo.storage.hdf5 import Damaged, Tree, below, from_image, sealed, stacked, to_image, unsealed, unstack

# What one file is written as, and what one that names shards is; both are read.
SCHEMA, SCHEMA_SHARDS = 1, 2
_WHAT, _WHAT_SHARD = "grs_evo checkpoint", "grs_evo checkpoint shard"
# more than any basis has
_ELEMENTS = 120
_NAME = re.compile(r"ckpt_(\d{8,})\.h5")
_SHARD_NAME = re.compile(r"shard_(\d{8,})_[0-9a-f]{32}\.h5")

# what becomes of a file that was made to look like a checkpoint
UNREADABLE = (Damaged, KeyError, ValueError, TypeError, IndexError, OverflowError, RecursionError)

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Shard:
    """A file beside a checkpoint that holds the states of some of its islands."""

    name: str
    digest: str  # BLAKE2b-128 of the file
    islands: tuple[int, ...]  # ascending


@dataclass(frozen=True)
class Checkpoint:
    """A run between two generations."""

    step: int  # generations made in all rounds together; also the number in the file's name
    round: int
    generation: int  # within the round
    decision: NDArray[np.float64]  # on this generation, see decisions.Decision
    states: list[Arrays]  # one per island; none where shards hold them
    set: Arrays  # the representative set so far, as individual.pack makes it
    past: NDArray[np.float64]  # history rows of earlier rounds, (n, 2 + n_stats): round, island, statistics
    seconds: float  # s spent, all sessions together
    fingerprint: dict[str, str]  # what the run is: hashes of run file, basis, target; seed
    run_file: str  # effective, as text
    finished: str = ""  # reason, when the run is at its end
    extra: dict[str, Any] = field(default_factory=dict)  # plain numbers and text that rounds need
    shards: tuple[Shard, ...] = ()  # that hold the states, if the states are not here

    def to_bytes(self) -> bytes:
        """The content of the file."""
        attributes = {
            "format": _WHAT,
            "schema": SCHEMA_SHARDS if self.shards else SCHEMA,
            "version": __version__,
            "step": self.step,
            "round": self.round,
            "generation": self.generation,
            "seconds": self.seconds,
            "finished": self.finished,
            "fingerprint": json.dumps(self.fingerprint, sort_keys=True),
            "extra": json.dumps(self.extra, sort_keys=True),
        }
        return sealed(to_image(self._content(), attributes, explained=False))

    def _content(self) -> Iterator[tuple[str, Any]]:
        """Names and values in the file."""
        yield from {"verdict": self.decision, "past": self.past, "run_file": self.run_file}.items()
        if self.shards:
            yield "shards", json.dumps([[one.name, one.digest, list(one.islands)] for one in self.shards])
        else:
            yield from stacked(self.states, "islands")
        for name, column in self.set.items():
            yield f"set/{name}", column

    @staticmethod
    def from_bytes(data: bytes) -> Checkpoint:
        """The inverse of `to_bytes`; the states of shards are not read yet.

        Raises
        ------
        Damaged
            Not what was written, or written by a newer program.
        """
        tree, attributes = from_image(unsealed(data))
        if attributes.get("format") != _WHAT:
            raise Damaged("is no checkpoint")
        if int(attributes["schema"]) > SCHEMA_SHARDS:
            raise Damaged(
                f"has schema {attributes['schema']}, written by grs_evo {attributes.get('version')}; "
                f"this one reads up to {SCHEMA_SHARDS}"
            )
        shards = _shards_of(tree["shards"]) if int(attributes["schema"]) == SCHEMA_SHARDS else ()
        _check_individuals(tree, ("set",) if shards else ("set", *_GROUPS))
        decision = np.asarray(tree["verdict"])
        Decision.from_array(decision)
        return Checkpoint(
            step=int(attributes["step"]),
            round=int(attributes["round"]),
            generation=int(attributes["generation"]),
            decision=decision,
            states=[] if shards else unstack(tree, "islands"),
            set=below(tree, "set"),
            past=np.asarray(tree["past"]),
            seconds=float(attributes["seconds"]),
            fingerprint=json.loads(attributes["fingerprint"]),
            run_file=str(tree["run_file"]),
            finished=str(attributes["finished"]),
            extra=json.loads(attributes["extra"]),
            shards=shards,
        )


def _shards_of(text: str) -> tuple[Shard, ...]:
    """The shards that a checkpoint names; raises Damaged where they do not hold each island once."""
    shards = tuple(
        Shard(str(name), str(digest), tuple(map(int, islands))) for name, digest, islands in json.loads(text)
    )
    islands = sorted(island for one in shards for island in one.islands)
    if not islands or islands != list(range(len(islands))):
        raise Damaged("names shards that do not hold each island once")
    if not all(_SHARD_NAME.fullmatch(one.name) for one in shards):
        raise Damaged("names shards that are none")
    return shards


_GROUPS = ("population", "archive", "outbox")  # of individuals of islands


def _check_individuals(tree: Tree, names: Sequence[str]) -> None:
    """Raise Unsound (a ValueError) unless the individuals of the set or of all islands can be computed with."""
    for name in names:
        if name == "set":
            columns = below(tree, "set")
        else:
            arrays, start = below(tree, "islands"), f"{name}."
            columns = {key[len(start) :]: column for key, column in arrays.items() if key.startswith(start)}
        if "line_length" not in columns:  # of an earlier version
            columns.update(without_lines(columns))
        n_terms = array_of(columns, "terms", "f", (None, None)).shape[1]
        check_individuals(columns, _ELEMENTS, n_terms)


# ---------------------------------------------------------------------------------------------------------------------
# shards


def save_shard(step: int, states: Mapping[int, Arrays], folder: Path, check: Callable[[], None]) -> Shard:
    """Write the states of some islands beside a checkpoint that will name them; by whichever rank has them.

    The name is a new one each time: what an older checkpoint of the same step names stays as it is.

    Raises
    ------
    StorageError
        It could not be written.
    """
    islands = tuple(sorted(states))
    content = stacked([states[island] for island in islands], "islands")
    data = sealed(to_image(content, {"format": _WHAT_SHARD, "schema": SCHEMA_SHARDS, "step": step}, explained=False))
    name = f"shard_{step:08d}_{uuid.uuid4().hex}.h5"
    with _last_whole_named(folder):
        write_whole(folder / name, data, check)
    return Shard(name, _digest(data), islands)


@dataclass(frozen=True)
class Told:
    """What whoever names shards is told of them: the files, and what of their islands goes into archive.h5."""

    shards: tuple[Shard, ...]
    archive: list[Individual]  # of all their islands, without those that cannot be in the run's
    histories: dict[int, NDArray[np.float64]]  # island -> rows, thinned; shard after shard

    def to_arrays(self, n_terms: int) -> Arrays:
        rows = list(self.histories.values())
        return {
            "names": np.array([one.name.encode() for one in self.shards]),
            "digests": np.array([one.digest.encode() for one in self.shards]),
            "n_islands": np.array([len(one.islands) for one in self.shards], np.int64),
            "islands": np.array([island for one in self.shards for island in one.islands], np.int64),
            "rows": np.concatenate(rows),
            "n_rows": np.array([len(one) for one in rows], np.int64),
            **{f"archive.{name}": column for name, column in pack(self.archive, n_terms).items()},
        }

    @staticmethod
    def from_arrays(arrays: Arrays) -> Told:
        islands = arrays["islands"].tolist()
        held = [part.tolist() for part in np.split(arrays["islands"], np.cumsum(arrays["n_islands"])[:-1])]
        histories = np.split(arrays["rows"], np.cumsum(arrays["n_rows"])[:-1])
        archive = unpack_of(arrays, "archive")
        shards = tuple(
            Shard(name.decode(), digest.decode(), tuple(mine))
            for name, digest, mine in zip(arrays["names"].tolist(), arrays["digests"].tolist(), held, strict=True)
        )
        return Told(shards, archive, dict(zip(islands, histories, strict=True)))


def states_of(
    checkpoint: Checkpoint, folder: Path, islands: Collection[int] | None = None
) -> Iterator[tuple[int, Arrays]]:
    """Islands and their states, shard after shard, so that no more than one of these is in memory.

    Parameters
    ----------
    islands : those that are wanted; None: all. Shards without any of them are not read

    Raises
    ------
    Damaged
        A shard is not there, or not the one that the checkpoint was written with.
    """
    whole: Sequence[int] = range(len(checkpoint.states))
    parts: list[tuple[Sequence[int], Shard | None]] = [(one.islands, one) for one in checkpoint.shards]
    for held, shard in parts or [(whole, None)]:
        if islands is None or not set(islands).isdisjoint(held):
            if shard is None:
                states = dict(zip(held, checkpoint.states, strict=True))
            else:
                states = read_shard(shard, checkpoint.step, folder)
            yield from ((k, one) for k, one in states.items() if islands is None or k in islands)


def read_shard(shard: Shard, step: int, folder: Path) -> dict[int, Arrays]:
    """The islands of a shard and their states.

    Raises
    ------
    Damaged and what else is among `UNREADABLE`
        It is not there, or not the one that the checkpoint of this step was written with.
    """
    try:
        data = read_file(folder / shard.name)
    except OSError as error:
        raise Damaged(f"names {shard.name}, which cannot be read: {error.strerror}") from None
    if _digest(data) != shard.digest:
        raise Damaged(f"names {shard.name}, which has another checksum than it was written with")
    tree, attributes = from_image(unsealed(data), _WHAT_SHARD)
    _check_individuals(tree, _GROUPS)
    found = unstack(tree, "islands")
    if int(attributes["step"]) != step or len(found) != len(shard.islands):
        raise Damaged(f"names {shard.name}, which holds other islands")
    return dict(zip(shard.islands, found, strict=True))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _remove_old(folder: Path, keep: int, newest: Checkpoint) -> None:
    """Remove all but the newest checkpoints, and then the shards that none of those which are left can name.

    Parameters
    ----------
    newest : that was just written; other shards of its step are of one that it replaced, and those of later steps may
        be of the next one, which other ranks have begun
    """
    kept = files(folder)[:keep]
    for old in files(folder)[keep:]:
        old.unlink(missing_ok=True)
    steps = {_step_of(path) for path in kept} - {newest.step}
    named = {one.name for one in newest.shards}
    for path in folder.glob("shard_*.h5"):
        match = _SHARD_NAME.fullmatch(path.name)
        if match and path.name not in named and int(match[1]) <= newest.step and int(match[1]) not in steps:
            path.unlink(missing_ok=True)


# ---------------------------------------------------------------------------------------------------------------------
# checkpoints of a folder


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
    with _last_whole_named(folder):
        write_whole(path, checkpoint.to_bytes(), check)
        _remove_old(folder, keep, checkpoint)
    return path


@contextmanager
def _last_whole_named(folder: Path) -> Iterator[None]:
    """Turn what goes wrong with a file into a StorageError that says which checkpoint is whole."""
    try:
        yield
    except OSError as error:
        kept = files(folder)
        last = f"the last whole checkpoint is {kept[0].name}" if kept else "there is no earlier checkpoint"
        text = error if isinstance(error, StorageError) else f"{folder}: {error.strerror or error}"
        raise StorageError(f"{text}; {last}") from error


def _step_of(path: Path) -> int:
    return int(path.stem.partition("_")[2])


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


def look_through(checkpoint: Checkpoint, folder: Path) -> None:
    """Read all states, shard after shard, and forget them; raises as `states_of`."""
    for _ in states_of(checkpoint, folder):
        pass


def newest(
    folder: Path, tell: Callable[[str], None], read: Callable[[Checkpoint, Path], None] = look_through
) -> Checkpoint | None:
    """The newest whole checkpoint, None when the run has not come to one.

    Parameters
    ----------
    tell : takes one line about each damaged file that is passed over
    read : reads the states of a checkpoint, and raises where they are not all there and whole

    Raises
    ------
    InputError
        There are checkpoints but none is whole.
    """
    complaints = []
    for path in files(folder):
        try:
            checkpoint = Checkpoint.from_bytes(read_file(path))
            if checkpoint.step != _step_of(path):
                raise Damaged(f"holds step {checkpoint.step}")
            read(checkpoint, folder)
            return checkpoint
        except UNREADABLE as error:
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
