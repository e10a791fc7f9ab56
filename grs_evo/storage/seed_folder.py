"""Structures that are dropped into seeds/ of a run folder while the run goes on.

A file that nobody has touched between two looks is moved to seeds/taken/, under a name that says when its structures
enter; that name is the record from which a resumed run takes them again. Files that cannot be read go to
seeds/refused/. Whatever lies in the folder, it never ends the run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from grs_evo.errors import InputError, StorageError
from grs_evo.files import sync_to_disk, write_whole
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import Structure
from grs_evo.text import counted

_TAKEN = re.compile(r"(\d+)_r(\d+)_g(\d+)_(.+)", re.ASCII | re.DOTALL)
_INNER = ("taken", "refused")
# Bytes of a name that are kept, half of them from either end; with what is put in front, file systems take 255.
_LONGEST_NAME = 160


class SeedFolder:
    """The seeds of a run.

    Parameters
    ----------
    path : the folder
    elements : of the basis
    n_islands : structures go to each island in turn
    refuses : why an island does not take a structure, None if it does
    check : raises when this process does not own the run folder any more
    say : takes one line for the user
    """

    def __init__(
        self,
        path: Path,
        elements: Sequence[str],
        n_islands: int,
        refuses: Callable[[Structure, int], str | None],
        check: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self.path = path
        self.elements = elements
        self.n_islands = n_islands
        self._refuses, self._check, self._say = refuses, check, say
        self._seen: dict[str, tuple[int, int]] = {}  # size and time of each file when last looked at
        self._given_up: dict[str, tuple[int, int]] = {}  # the same, of files that could not be moved
        self._told: set[str] = set()  # unreadable files of taken/ that were complained about

    def take_new(self, round_: int, made: int) -> list[tuple[int, Structure]]:
        """Take the files that have come; their structures, as (island, structure), enter when `made` is made.

        Raises
        ------
        StorageError
            The run folder is not ours any more.
        """
        for path in self._dropped():
            try:
                if path.name in _INNER:
                    self._inner(path.name)  # makes way for the folder, and comes in by its other name
                elif path.is_file():
                    self._take(path, round_, made)
            except StorageError:
                raise
            except OSError as error:
                self._given_up[path.name] = self._seen.get(path.name, (0, 0))
                self._say(f"seed refused: {path}: cannot be taken in: {error.strerror or error}")
        return self.taken(round_, made)

    def taken(self, round_: int, made: int) -> list[tuple[int, Structure]]:
        """Seeds that enter when a generation of a round is made, as (island, structure), in their files' order."""
        seeds = []
        for number, path in self._records(round_, made):
            try:
                structures = self._read(path)
            except InputError as error:
                if path.name not in self._told:
                    self._told.add(path.name)
                    self._say(f"seed left out: {error}")
                continue
            seeds += [(self._island(number, k), structure) for k, structure in enumerate(structures)]
        return seeds

    def _dropped(self) -> list[Path]:
        """Files that nobody has touched since the last look."""
        before, self._seen = self._seen, {}
        settled = []
        try:
            paths = sorted(path for path in self.path.iterdir() if path.name[0] != ".")
        except OSError:
            return []
        for path in paths:
            try:
                if not path.is_file():
                    continue
                facts = path.stat()
            except OSError:
                continue
            mark = self._seen[path.name] = (facts.st_size, facts.st_mtime_ns)
            if before.get(path.name) == mark and self._given_up.get(path.name) != mark:
                settled.append(path)
        return settled

    def _take(self, path: Path, round_: int, made: int) -> None:
        """Move a seed file to where a resume finds it again."""
        try:
            found = self._read(path)
        except InputError as error:
            _move(path, _unused(self._inner("refused") / _plain(path.name)))
            self._say(f"seed refused: {error}")
            return
        place = self._inner("taken")
        number = 1 + max((int(match[1]) for name in os.listdir(place) if (match := _TAKEN.fullmatch(name))), default=0)
        self._check()
        _move(path, place / f"{number:06d}_r{round_}_g{made}_{_plain(path.name)}")
        self._say(self._welcome(path.name, found, number, made))

    def _inner(self, name: str) -> Path:
        """A folder within seeds/; a file of that name, which is a seed like others, is called otherwise."""
        place = self.path / name
        if os.path.lexists(place) and not place.is_dir():
            os.replace(place, _unused(self.path / f"{name}.file"))
        place.mkdir(exist_ok=True)
        return place

    def _welcome(self, name: str, found: Sequence[Structure], number: int, made: int) -> str:
        """What becomes of the structures of a seed file, in a line."""
        causes = [self._refuses(structure, self._island(number, k)) for k, structure in enumerate(found)]
        refused = [cause for cause in causes if cause is not None]
        line = f"seeds: {len(found) - len(refused)} of {counted(len(found), 'structure')} of {name} enter"
        line += f" at generation {made}"
        if refused:
            line += f"; the limits of their islands refuse the others for {', '.join(sorted(set(refused)))}"
        return line

    def _island(self, number: int, k: int) -> int:
        """The island that structure `k` of seed file `number` goes to: each in turn."""
        return (number - 1 + k) % self.n_islands

    def _records(self, round_: int, made: int) -> list[tuple[int, Path]]:
        """Number and place of the files whose structures enter then, in their order."""
        place = self.path / "taken"
        try:
            names = sorted(os.listdir(place))
        except OSError:
            return []
        matches = [match for name in names if (match := _TAKEN.fullmatch(name))]
        chosen = [match for match in matches if (int(match[2]), int(match[3])) == (round_, made)]
        return [(int(match[1]), place / match[0]) for match in chosen if (place / match[0]).is_file()]

    def _read(self, path: Path) -> list[Structure]:
        """The structures of a file; any error of a reader is an InputError here, so that it does not end a run."""
        try:
            return [entry.structure for entry in read_structures(path, self.elements)]
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _move(path: Path, place: Path) -> None:
    """Move a file, so that a power cut leaves it moved; of a link, which may mean another tomorrow, the content."""
    if path.is_symlink():
        _copy_content(path, place)
        path.unlink()
    else:
        sync_to_disk(path)  # whoever dropped it may not have
        os.replace(path, place)
        sync_to_disk(place.parent)
    sync_to_disk(path.parent)


def _copy_content(path: Path, place: Path) -> None:
    """Copy what a file holds now; raises an OSError that is no StorageError, for the run itself can go on."""
    try:
        write_whole(place, path.read_bytes())
    except StorageError as error:
        raise OSError(str(error)) from None


def _plain(name: str) -> str:
    """A file name that every command can print, and short enough for what is put in front; readers go by its end."""
    text = "".join(character if character.isprintable() else "_" for character in name)
    data = text.encode()
    if len(data) <= _LONGEST_NAME:
        return text
    half = _LONGEST_NAME // 2
    return data[:half].decode(errors="ignore") + data[-half:].decode(errors="ignore")


def _unused(path: Path) -> Path:
    """This path, or one like it that is not there yet."""
    number, found = 1, path
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{number}_{path.name}")
    return found
