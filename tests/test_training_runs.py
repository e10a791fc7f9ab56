"""The runs about training data, small: a closed loop with EMT, and a selection that is worth more than chance."""

from __future__ import annotations

import csv
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import grs_evo
from grs_evo.driver.session import run

ROOT = Path(__file__).parents[1]
LOOP, SELECT = ROOT / "runs" / "closed-loop", ROOT / "runs" / "select-si"


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def python(script: Path, *arguments: object) -> None:
    subprocess.run([sys.executable, str(script), *map(str, arguments)], check=True)


@pytest.mark.long
def test_a_loop_closes_with_the_calculator_s_crystal(tmp_path: Path) -> None:
    """Cells made, labelled with EMT, joined, fitted: the potential's copper is EMT's."""
    python(LOOP / "make_target.py", tmp_path / "target.extxyz")
    assert (tmp_path / "target.extxyz").read_text() == (LOOP / "target.extxyz").read_text()
    assert run(LOOP / "small.toml", tmp_path / "out", quiet=True).finished
    grs_evo.export(tmp_path / "out", tmp_path / "cells.extxyz", which="set")
    python(LOOP / "compute.py", tmp_path / "cells.extxyz", tmp_path / "results.extxyz")
    joined = grs_evo.label(tmp_path / "results.extxyz", tmp_path / "out", tmp_path / "labelled.extxyz")
    assert len(joined.atoms) == joined.by_uid == 20
    found = grs_evo.refit(tmp_path / "labelled.extxyz", basis=grs_evo.build_basis(["Cu"], (10, 5, 3), (0, 4, 2), 5.0))
    assert found.n_environments <= 160
    found.potential.write(tmp_path / "cu.yace")
    ours, theirs = runpy.run_path(str(LOOP / "compare.py"))["main"](tmp_path / "cu.yace")
    assert theirs["lattice constant, Å"] == pytest.approx(3.59, abs=0.01)
    assert ours["lattice constant, Å"] == pytest.approx(theirs["lattice constant, Å"], rel=1e-3)
    for name in ("bulk modulus, GPa", "C11, GPa", "C12, GPa", "C44, GPa"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.08), name


@pytest.mark.long
def test_curves_of_a_small_selection(tmp_path: Path) -> None:
    """The benchmark on every eighth cell: a row for each draw, and a picture."""
    path = ROOT / "tools" / "bench" / "learning_curves.py"
    files = [f"{SELECT / 'Si_training.extxyz.gz'}@::8", "--test", f"{SELECT / 'Si_test.extxyz.gz'}@::5"]
    options = ["--cutoff", 4.0, "--n-max", 4, 2, "--l-max", 0, 2, "--by", "clusters", "random", "--shares", 0.3]
    for budget in ("environments", "cost"):
        out = tmp_path / budget
        python(path, *files, *options, "--draws", 2, "--budget", budget, "-o", out)
        rows = table(tmp_path / f"{budget}.csv")
        assert [row["rule"] for row in rows] == ["all", "clusters", "clusters", "random", "random"]
        whole = float(rows[0][budget])
        assert all(abs(float(row[budget]) / whole - 0.3) < 0.1 for row in rows[1:])
    python(path, "--draw", tmp_path / "cost.csv", "-o", tmp_path / "again")
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "cost.svg").read_bytes()


def test_the_curves_that_ship_say_what_the_readme_says() -> None:
    rows = table(SELECT / "curves.csv")

    def median(element: str, rule: str, share: str, column: str) -> float:
        picked = [row for row in rows if (row["set"], row["rule"], row["share"]) == (element, rule, share)]
        return float(np.median([float(row[column]) for row in picked]))

    ratios = {
        column: [
            median(element, "clusters", share, column) / median(element, "stratified", share, column)
            for element in ("Si", "Mo", "Li")
            for share in ("0.05", "0.1", "0.2")
        ]
        for column in ("all_energy", "all_forces")
    }
    text = (SELECT / "README.md").read_text()
    for column, word in (("all_energy", "energies"), ("all_forces", "forces")):
        assert f"{np.mean(ratios[column]):.2f} ({word}" in text, (column, np.mean(ratios[column]), max(ratios[column]))
        assert f"worst {max(ratios[column]):.2f}" in text, (column, max(ratios[column]))
