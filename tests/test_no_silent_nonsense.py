"""What used to end well and mean nothing is told, refused, or done right: whole runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pinned_runs
import pytest
import small

import grs_evo
from grs_evo.errors import EXIT_SHORT
from grs_evo.storage.archive_file import read_archive
from grs_evo.structures.same_crystal import crystal_of, same_crystal


def set_run(folder: Path, rules: str, *changes: tuple[str, str]) -> Path:
    path = pinned_runs.write(folder, "set")
    text = path.read_text().replace("rounds = 3\naccept = 2\npatience = 3", rules)
    for old, new in (("generations = 5", "generations = 1"), *changes):
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_a_set_short_of_its_size_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    atoms = (("sizes = [2, 6]", "sizes = [1, 1]"), ("rattle = 0.05", "rattle = 0.0"))
    result = grs_evo.run(set_run(tmp_path, "rounds = 9\ncount = 9", *atoms), quiet=True)
    assert result.reason.startswith("no candidate lowered the set loss in 1 round, short of its size: ")
    assert result.reason.endswith(" of 9 structures")
    assert (result.finished, result.short, result.exit_code) == (True, True, EXIT_SHORT)
    # the same at a resume of what has come to its end
    assert grs_evo.resume(result.folder, quiet=True).exit_code == EXIT_SHORT


def test_a_set_into_which_nothing_fits_any_more_is_not_short(tmp_path: Path) -> None:
    path = set_run(tmp_path, "rounds = 4\nslack = 1.0\nenvironments = 3", ("sizes = [2, 6]", "sizes = [2, 2]"))
    result = grs_evo.run(path, quiet=True)
    assert (result.short, result.exit_code) == (False, 0), result.reason


def test_a_bootstrap_takes_no_crystal_twice(tmp_path: Path) -> None:
    rules = 'rounds = 6\naccept = 2\nbootstrap = "merge"'
    changes = (("rattle = 0.05", "rattle = 0.0"), ("sizes = [2, 6]", "sizes = [1, 4]"))
    result = grs_evo.run(set_run(tmp_path, rules, *changes), quiet=True)
    crystals = [crystal_of(one.structure) for one in read_archive(result.folder).set]
    assert len(crystals) > 6
    assert sum(same_crystal(a, b) for k, a in enumerate(crystals) for b in crystals[:k]) == 0


@pytest.mark.parametrize("n_ranks", [0, pytest.param(2, marks=pytest.mark.mpi)])
def test_a_run_that_ends_in_its_first_generation_keeps_what_was_evaluated(n_ranks: int, tmp_path: Path) -> None:
    if n_ranks and shutil.which("mpiexec") is None:
        pytest.skip("no mpiexec: install the extra mpich or openmpi")
    text = small.RELAXED.replace("population = 4", "population = 5000").replace("generations = 5", "seconds = 3")
    path = small.write(tmp_path, text.replace("max_evaluations = 30\nstage_evaluations = 6", 'cell = "full"'))
    code, said = pinned_runs.call(n_ranks, "run", path, "--out", tmp_path / "out", cwd=tmp_path)
    assert code == 0, said
    found = re.search(r"first generation was not complete: (\d+) of 15000 structures were evaluated", said)
    assert found is not None, said
    archive = read_archive(tmp_path / "out")
    assert 0 < len(archive.individuals) <= int(found[1])
    assert "finished (seconds) before the first generation was complete" in said
    assert f"({len(archive.individuals)} structure" in said
    # what reads archives reads this one
    code, said = pinned_runs.call(0, "export", tmp_path / "out", "-o", tmp_path / "best.extxyz", cwd=tmp_path)
    assert code == 0, said
    code, said = pinned_runs.call(0, "report", tmp_path / "out", cwd=tmp_path)
    assert code == 0, said
    code, said = pinned_runs.call(0, "status", tmp_path / "out", cwd=tmp_path)
    assert code == 0, said
