"""The nodes for workflow programs: short, and run where their program is installed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NODES = ROOT / "tools" / "examples" / "workflows"
COMMANDS = {
    "Snakefile": (
        ["snakemake"],
        ["snakemake", "--cores", "1", "--snakefile", "{node}", "--directory", "case"],
        "3 of 3",
    ),
    "jobflow_flow.py": (["jobflow", "pymatgen"], ["python", "{node}", "case/run.toml", "out"], "energy "),
    "executorlib_seeds.py": (["executorlib"], ["python", "{node}", "case/run.toml", "out"], "best loss "),
    "aiida_search.py": (["aiida_shell"], ["python", "{node}", "case"], "0, run folder in node"),
}


def test_every_node_is_short_and_can_be_read() -> None:
    assert {path.name for path in NODES.iterdir() if path.is_file()} == set(COMMANDS)
    for path in NODES.iterdir():
        if path.is_file():
            assert len(path.read_text().splitlines()) <= 40, path.name
        if path.suffix == ".py":
            assert ast.get_docstring(ast.parse(path.read_text())), path.name


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_a_node_runs(name: str, tmp_path: Path) -> None:
    needed, command, said = COMMANDS[name]
    missing = [package for package in needed if find_spec(package) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed here")
    case = tmp_path / "case"
    shutil.copytree(ROOT / "runs" / "cu3au-l12", case)
    run_file = case / "run.toml"
    run_file.write_text(run_file.read_text().replace("generations = 80", "generations = 2"))
    beside = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}", "AIIDA_PATH": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

    def call(words: list[str]) -> str:
        words = [str(beside / words[0]), *(word.format(node=NODES / name) for word in words[1:])]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout + done.stderr

    if name == "aiida_search.py":
        call(["verdi", "presto"])
    assert said in call(command)
