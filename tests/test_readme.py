"""What README.md shows in Python works, top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from ase.build import bulk
from ase.io import write

import grs_evo

README = Path(__file__).parents[1] / "README.md"


def test_python_blocks_of_the_readme(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    grs_evo.run(small.write(tmp_path), "out-cu3au", quiet=True)
    frames = [bulk("Cu", "fcc", a=3.7, cubic=True) * 2 for _ in range(30)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.1, rng=np.random.default_rng(k))
    write("melt.extxyz", frames)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    assert names["rows"].shape[1] == grs_evo.build_basis(["Au", "Cu"], (8, 2, 2, 1), (0, 2, 2, 1), 6.0).n_desc
    assert Path("au_cu.yace").is_file()
    assert names["target"].n_environments == 3 * 32
    assert names["done"].improved
    assert names["done"].value < 0.01
