"""Damaged structure files by the thousand: each is refused in one line, or read with all atoms; none hangs."""

from __future__ import annotations

import random
import re
import resource
import shutil
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path

import mutated
import pytest

from grs_evo.errors import InputError
from grs_evo.structures.reading import read_structures
from grs_evo.structures.structure import content_hash

# s of a reading
_LONGEST = 5
# kB that thousands of readings may add to the memory of the process
_MOST_MEMORY = 600_000


def read(path: Path) -> list[str] | str:
    """Hashes of the structures of a file, or why it is refused: the one thing that a reader may raise."""

    def late(*_: object) -> None:
        raise TimeoutError(f"{path} is not read in {_LONGEST} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(_LONGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # files that ASE leaves open where it fails
            return [content_hash(entry.structure) for entry in read_structures(path, mutated.ELEMENTS)]
    except InputError as error:
        text = str(error)
        assert "\n" not in text, text
        assert len(text) < 900, text
        assert path.name in text, text
        assert not re.search(r"[A-Z][A-Za-z]*Error\b|Traceback|NoneType|object has no|out of range", text), text
        return text
    finally:
        signal.alarm(0)


def fuzz(folder: Path, seed: int, tries: int) -> Counter[str]:
    """Mutations of all formats in turn; counts of what was read and refused, by format."""
    rng = random.Random(seed)
    whole = {name: read(mutated.write_file(folder, name, content)) for name, content in mutated.sound().items()}
    assert all(isinstance(found, list) for found in whole.values()), whole
    counts: Counter[str] = Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for k in range(tries):
        name = list(whole)[k % len(whole)]
        mutation = rng.choice(mutated.MUTATIONS)
        content = mutation(rng, mutated.sound()[name])
        path = mutated.write_file(folder, name, content)
        try:
            found = read(path)
        except BaseException:
            print(f"{name} by {mutation.__name__}, try {k} of seed {seed}: {content[:3000]!r}", file=sys.stderr)
            raise
        shutil.rmtree(path.parent)
        counts["refused" if isinstance(found, str) else "read", name] += 1
        if isinstance(found, str) or mutation not in (mutated.cut, mutated.cut_near_end):
            continue
        # what is cut is refused, or nothing that counts is missing: whole frames where nothing says how many there are
        original = whole[name]
        assert found == original[: len(found)] or name in ("bestsqs.out", *_UNTOLD), (name, seed, k, content[-200:])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_MEMORY
    return counts


# Formats that ASE reads, in which nothing tells that a file was cut inside its last number or row.
_UNTOLD = ("a.cfg", "a.xsf", "a.res", "a.traj", "a.db")


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    counts = fuzz(tmp_path, 1, 400)
    assert counts.total() == 400


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(10))
def test_thousands_of_damaged_files_are_refused_or_read(tmp_path: Path, seed: int) -> None:
    counts = fuzz(tmp_path, 100 + seed, 500)
    refused = sum(n for (kind, _), n in counts.items() if kind == "refused")
    print(f"seed {seed}: {refused} refused, {counts.total() - refused} read")


@pytest.mark.parametrize("name", sorted(mutated.ATOM_LINES))
def test_a_missing_or_second_atom_line_is_refused(tmp_path: Path, name: str) -> None:
    lines = mutated.sound()[name].split(b"\n")
    at = mutated.ATOM_LINES[name] - 1
    whole = read(mutated.write_file(tmp_path, name, mutated.sound()[name]))
    for changed in (lines[:at] + lines[at + 1 :], [*lines[: at + 1], *lines[at:]]):
        found = read(mutated.write_file(tmp_path, name, b"\n".join(changed)))
        # a site that a CIF lists twice is one site
        assert isinstance(found, str) or (name == "a.cif" and found == whole), lines[at]


@pytest.mark.parametrize(
    "name", ["two.extxyz", "dump.lammpstrj", "a.data", "a.cif", "POSCAR", "XDATCAR", "a.gen", "fit.json"]
)
def test_a_file_cut_anywhere_loses_whole_frames_only(tmp_path: Path, name: str) -> None:
    """Each byte in turn: also inside the last number."""
    content = mutated.sound()[name]
    whole = read(mutated.write_file(tmp_path, name, content))
    ends = len(content.rstrip())
    path = mutated.write_file(tmp_path, name, content)
    for size in range(1, ends):
        path.write_bytes(content[:size])
        found = read(path)
        assert isinstance(found, str) or found == whole[: len(found)], content[max(0, size - 60) : size]
