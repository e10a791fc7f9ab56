"""What used to end well and mean nothing is told, refused, or done right: whole runs."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pinned_runs
import pytest
import small
from ase import Atoms
from ase.build import mx2
from command_line import call

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
    how = partial(pinned_runs.call, n_ranks) if n_ranks else call
    code, said = how("run", path, "--out", tmp_path / "out", cwd=tmp_path)
    assert code == 0, said
    found = re.search(r"first generation was not complete: (\d+) of 15000 structures were evaluated", said)
    assert found is not None, said
    archive = read_archive(tmp_path / "out")
    assert 0 < len(archive.individuals) <= int(found[1])
    assert "finished (seconds) before the first generation was complete" in said
    assert f"({len(archive.individuals)} structure" in said
    # what reads archives reads this one
    code, said = call("export", tmp_path / "out", "-o", tmp_path / "best.extxyz", cwd=tmp_path)
    assert code == 0, said
    code, said = call("report", tmp_path / "out", cwd=tmp_path)
    assert code == 0, said
    code, said = call("status", tmp_path / "out", cwd=tmp_path)
    assert code == 0, said


def test_a_run_far_from_its_target_says_what_that_means(tmp_path: Path) -> None:
    path = pinned_runs.write(tmp_path, "lattice")
    text = path.read_text().replace("a = 3.75", "a = 2.5").replace('composition = "free"', "fractions = {Au = 1.0}")
    path.write_text(text.replace("generations = 14", "generations = 0").replace('scale = "reference"\n', ""))
    code, said = call("run", path, cwd=tmp_path)
    assert code == 0, said
    (line,) = [line for line in said.splitlines() if line.startswith("no match ")]
    assert re.search(r"the loss is \S+, \S+ times the sampling noise: no match; the largest term is \w+ \(", line), line
    assert "another composition: " in line
    assert "Au 100 % (target 25 %)" in line
    assert "another density: 3.3" in line


def test_score_says_why_a_structure_is_no_match(tmp_path: Path) -> None:
    crystal = mx2("MoS2", vacuum=8.0)
    exchanged = crystal.copy()
    exchanged.symbols[:] = ["S", "Mo", "S"]
    for name, atoms in (("target", crystal), ("same", crystal), ("exchanged", exchanged)):
        atoms.pbc = (True, True, False)
        atoms.write(tmp_path / f"{name}.extxyz")
    code, said = call("target", "target.extxyz", "-o", "target.h5", cwd=tmp_path)
    assert code == 0, said
    code, said = call("score", "same.extxyz", "exchanged.extxyz", "--target", "target.h5", cwd=tmp_path)
    assert code == 0, said
    same, other = said.split("exchanged.extxyz")
    assert "no match" not in same
    assert "environments are all alike: no match; the largest term is variance" in other or "is mean" in other
    assert "composition and density are the target's" in other


MELT = """
[target]
files = ["melt.extxyz"]
[basis]
n_max = [3, 1]
l_max = [0, 1]
cutoff = 4.0
[search]
islands = 1
population = 4
[stop]
generations = 1
"""


def test_a_melt_alone_in_the_run_file_means_random_cells(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.arange(6)] * 3), -1).reshape(-1, 3)
    atoms = Atoms("Cu216", positions=2.6 * grid + 0.3 * rng.standard_normal(grid.shape), cell=[15.6] * 3, pbc=True)
    atoms.write(tmp_path / "melt.extxyz")
    (tmp_path / "case.toml").write_text(MELT)
    code, said = call("check", "case.toml", "--brief", cwd=tmp_path)
    assert (code, "candidates: random cells of 54 atoms" in said) == (0, True), said
    code, said = call("run", "case.toml", cwd=tmp_path)
    assert (code, "candidates: random cells of 54 atoms" in said) == (0, True), said
    assert {one.structure.n_atoms for one in read_archive(tmp_path / "case").individuals} == {54}
    # what was decided is written out, so that a session that follows has it
    effective = (tmp_path / "case" / "run.toml").read_text()
    assert 'kind = "random"' in effective
    assert "sizes = [54, 54]" in effective
    code, said = call("resume", "case", "--extend", "stop.generations=2", cwd=tmp_path)
    assert code == 0, said


@pytest.mark.parametrize("along", [False, True])
def test_a_slab_comes_back_as_it_is(along: bool, tmp_path: Path) -> None:
    """Whether or not its file calls the vacuum periodic, as those of many codes do."""
    layer = mx2("MoS2", vacuum=8.0)
    layer.pbc = (True, True, along)
    layer.write(tmp_path / "melt.extxyz")
    (tmp_path / "case.toml").write_text(MELT)
    code, said = call("run", "case.toml", cwd=tmp_path)
    assert code == 0, said
    assert "no match" not in said
    (one,) = read_archive(tmp_path / "case").individuals
    assert one.value < 1e-9
    assert one.structure.pbc.tolist() == [True, True, along]
    assert one.structure.n_atoms == 12
    assert "stands for the target" in said
    # a warm one has no sites, and no bulk is like it
    warm = layer * (3, 3, 1)
    warm.rattle(0.1, seed=1)
    warm.write(tmp_path / "melt.extxyz")
    code, said = call("check", "case.toml", cwd=tmp_path)
    assert (code, "it has vacuum, so that no random cell can be drawn like it" in said) == (2, True), said
