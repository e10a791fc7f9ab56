"""In a script or notebook: objects print as a line or two, archives are sequences, runs take tables and call back."""

from __future__ import annotations

import builtins
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from archives import archive
from ase.build import bulk

import grs_evo
import grs_evo.driver.monitor.summary
from grs_evo import InputError
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.monitor.status_file import Progress
from grs_evo.search.population.individual import short_uid


@pytest.fixture(scope="module")
def made():
    return archive(6, elements=("Cu", "Au"), in_set=2)


def test_objects_print_as_three_lines_at_most(made) -> None:
    atoms = bulk("Cu", cubic=True)
    basis = grs_evo.build_basis(["Cu"], (3, 1), (0, 1), 4.0)
    target = grs_evo.Target.from_structures([atoms], basis)
    objective = grs_evo.make_objective(basis, target)
    result = grs_evo.driver.monitor.summary.Result(Path("out"), True, "loss", 7, 65.0, tuple(made.individuals), "ab12")
    for one, words in (
        (made, "Archive(6 structures of Cu-Au, lowest value "),
        (basis, "functions of Cu, ranks to 2, cutoff 4 Å)"),
        (target, "Target(1 structures, 4 environments of Cu"),
        (objective, "Objective("),
        (result, "Result(finished (loss) after generation 7, "),
    ):
        text = repr(one)
        assert words in text
        assert text.count("\n") <= 2
        assert len(text) < 500
        page = one._repr_html_()
        assert len(page) < 6000
        assert "<" in page
    assert made._repr_html_().count("<tr>") == 7


def test_an_archive_is_a_sequence_of_atoms(made) -> None:
    assert len(made) == len(list(made)) == 6
    assert [one.info["grs_uid"] for one in made] == [one.uid for one in made.individuals]
    assert made[1] == made.atoms(1)
    assert made[-1] == made.atoms(5)
    assert made[1:4] == [made.atoms(k) for k in (1, 2, 3)]
    assert made.best.info["grs_value"] == min(one.value for one in made.individuals)
    last = made.set[-1]
    assert made[short_uid(last.uid)].info["grs_uid"] == last.uid
    with pytest.raises(IndexError, match="has 6 structures"):
        made[6]
    with pytest.raises(InputError, match="holds no structure with the uid 9/9"):
        made["9/9"]


def test_a_table_says_which_package_it_needs(made, monkeypatch: pytest.MonkeyPatch) -> None:
    before = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return before(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pandas is not installed; install grs-evo\[analysis\]"):
        made.table()


def test_several_structures_are_described_one_after_the_other() -> None:
    basis = grs_evo.build_basis(["Cu", "Au"], (3, 1), (0, 1), 4.0)
    some = [bulk("Cu", cubic=True), bulk("Au")]
    rows = grs_evo.describe(some, basis)
    assert rows.tobytes() == np.concatenate([grs_evo.describe(one, basis) for one in some]).tobytes()
    assert grs_evo.describe(iter(some), basis).shape == (5, basis.n_desc)
    assert grs_evo.describe([], basis).shape == (0, basis.n_desc)
    with pytest.raises(InputError, match="structure 1: element Ni"):
        grs_evo.describe([some[0], bulk("Ni")], basis)


def test_tables_run_as_the_file_does_and_call_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    tables = tomllib.loads(path.read_text())
    seen: list[Progress] = []
    one = grs_evo.run(path, "a", quiet=True)
    two = grs_evo.run(tables, "b", quiet=True, on_generation=seen.append)
    three = grs_evo.run(parse(path.read_text(), "run.toml"), "c", quiet=True)
    assert one.archive_hash == two.archive_hash == three.archive_hash
    assert [now.generation for now in seen] == list(range(one.generation + 1))
    assert seen[-1].best_value == min(individual.value for individual in two.archive)
    assert seen[-1].evaluations >= seen[0].evaluations > 0
    stopped = grs_evo.run(tables, "d", seed=3, quiet=True, on_generation=lambda now: now.generation >= 1)
    assert (stopped.finished, stopped.reason) == (False, "on_generation")
    assert grs_evo.resume("d", quiet=True).finished
    with pytest.raises(InputError, match="out is not given"):
        grs_evo.run(tables)
    with pytest.raises(InputError, match=r"run: .*did you mean 'candidates'"):
        grs_evo.run({**tables, "candidate": {}}, "e")
    with pytest.raises(InputError, match="tables hold text, numbers"):
        grs_evo.run({"target": {"files": [object()]}}, "f")


def test_a_script_keeps_its_own_handler(tmp_path: Path) -> None:
    path = small.write(tmp_path)
    script = f"""
import os, signal, grs_evo
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
once = lambda now: os.kill(os.getpid(), signal.SIGTERM) if now.generation == 0 else None
done = grs_evo.run({str(path)!r}, {str(tmp_path / "out")!r}, quiet=True, on_generation=once)
assert done.finished and heard == [1], (done, heard)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
done = grs_evo.run({str(path)!r}, {str(tmp_path / "two")!r}, quiet=True, on_generation=once)
assert not done.finished and done.reason == "SIGTERM", done
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
