"""Runs give the archives that they gave, bit for bit: on any number of ranks, and stopped by an earlier version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pinned_runs
import pytest
from threadpoolctl import threadpool_limits

import grs_evo


def _expected(name: str) -> dict[str, str]:
    known = pinned_runs.known()
    if known is None:
        pytest.skip(pinned_runs.unknown())
    return known[name]


@pytest.mark.parametrize("name", pinned_runs.RUNS)
def test_a_run_gives_the_archive_it_gave(name: str, tmp_path: Path) -> None:
    expected = _expected(name)
    with threadpool_limits(4):  # as in a script; the command line has one thread for each rank
        result = grs_evo.run(pinned_runs.write(tmp_path, name), quiet=True)
    assert result.archive_hash == expected["archive"]
    assert pinned_runs.digests(result.folder / "archive.h5") == expected


def test_a_run_stopped_by_an_earlier_version_gives_the_archive_it_would_have_given(tmp_path: Path) -> None:
    expected = _expected("resumed")
    folder = shutil.copytree(pinned_runs.STOPPED, tmp_path / "resumed")
    result = grs_evo.resume(folder, quiet=True)
    assert result.archive_hash == expected["archive"]
    assert pinned_runs.digests(folder / "archive.h5") == expected


@pytest.mark.mpi
@pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no mpiexec: install the extra mpich or openmpi")
@pytest.mark.parametrize("n_ranks", [2, pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", pinned_runs.NAMES)
def test_ranks_give_the_archive_that_one_gave(name: str, n_ranks: int, tmp_path: Path) -> None:
    expected = _expected(name)
    assert pinned_runs.made(name, n_ranks, tmp_path) == expected


def test_every_entry_of_the_table_has_every_run() -> None:
    entries = pinned_runs.table()
    assert len({str(entry["made_with"]) for entry in entries}) == len(entries) > 0
    for entry in entries:
        assert set(entry["runs"]) == set(pinned_runs.NAMES)
        assert set(entry["made_with"]) == set(pinned_runs.combination())
