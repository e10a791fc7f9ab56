"""Documents whose blocks are run: README and the manual, each page in a folder of its own with the same small files.

A block after a line `<!-- long -->` is only parsed, and the run folders that it names are copies of a small one.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import small
from ase import Atoms
from ase.build import bulk, fcc111
from ase.io import write

import grs_evo
from grs_evo.cli.commands import cli, main
from grs_evo.driver.config.run_file import parse

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(<!-- long -->\n)?^```(\w*)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)
# Commands of others that are shown, and not run.
_OTHERS = ("pip install ", "python -m pytest")


class Block(NamedTuple):
    language: str
    text: str
    long: bool


def blocks(text: str) -> Iterator[Block]:
    for long, language, inside in _BLOCK.findall(text):
        yield Block(language, inside, bool(long))


def prepare(folder: Path) -> None:
    """The files that documents name."""
    rng = np.random.default_rng(0)

    def shaken(symbols: list[str], n: int, k: int) -> Atoms:
        atoms = bulk("Ar", "fcc", a=4.2, cubic=True) * (n, n, n)
        atoms.symbols = np.random.default_rng(k).permutation(np.resize(symbols, len(atoms)))
        atoms.rattle(0.3, rng=np.random.default_rng(k))
        return atoms

    write(folder / "md.extxyz", [shaken(["Na", "Cl"], 2, k) for k in range(12)])
    write(folder / "melt.extxyz", [shaken(["Cu"], 2, k) for k in range(12)])
    write(folder / "pool.extxyz", [shaken(["Ta"], 1, k) for k in range(40)])
    l12 = bulk("Cu", "fcc", a=3.75, cubic=True)
    l12.symbols[0] = "Au"
    write(folder / "crystal.cif", l12)
    alloy = bulk("Fe", "bcc", a=2.87, cubic=True) * 3
    alloy.symbols = rng.permutation(np.resize(["Fe", "Cr"], len(alloy)))
    write(folder / "alloy.extxyz", alloy)
    slab = fcc111("Cu", (4, 4, 3), a=3.6, vacuum=8.0)
    slab.info.clear()
    write(folder / "slab.extxyz", slab)
    (folder / "small").mkdir()
    grs_evo.run(small.write(folder / "small"), folder / "out", quiet=True)


def run_document(text: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run every block of a document in the working folder; returns the names that its Python made."""
    names: dict[str, Any] = {}
    for block in blocks(text):
        if block.language == "python":
            exec(compile(block.text, "document", "exec"), names)
        elif block.language == "toml":
            _parse(block.text)
        else:
            assert block.language == "sh", block
            for command in _commands(block.text):
                _command(command, block.long, capsys)
    return names


def _parse(text: str) -> None:
    """A whole run file, or a part of one."""
    target = "" if "[target" in text else '\n[target]\nfiles = ["md.extxyz"]\n'
    parse(text + target, "document")


def _commands(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        for part in line.split(" && "):
            words = shlex.split(part, comments=True)
            if words:
                yield words


def _command(words: list[str], long: bool, capsys: pytest.CaptureFixture[str]) -> None:
    if words[:2] == ["mpiexec", "-n"]:
        words = words[3:]
    if " ".join(words).startswith(_OTHERS):
        assert long
        return
    assert words[0] == "grs-evo", words
    arguments = words[1:]
    if long:
        command = cli.commands[arguments[0]]
        with command.make_context(arguments[0], list(arguments[1:])) as context:
            out = context.params.get("out")
        if arguments[0] == "run" and out is not None and not Path(out).exists():
            shutil.copytree("out", out)
        return
    with pytest.raises(SystemExit) as done:
        main(arguments)
    said = capsys.readouterr()
    assert done.value.code == 0, (words, said.err)


def copied(source: Path, place: Path) -> None:
    """A folder of its own for a document."""
    for path in source.iterdir():
        if path.is_dir():
            shutil.copytree(path, place / path.name)
        else:
            shutil.copy(path, place / path.name)


__all__ = ["ROOT", "blocks", "copied", "prepare", "run_document"]
