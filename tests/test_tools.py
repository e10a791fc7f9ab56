"""The programs in tools/: their files, their help, their numbers, and what they say to bad input."""

from __future__ import annotations

import csv
import importlib.util
import json
import runpy
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import small
from archives import archive, lattice, run_folder

from grs_evo.analysis import best_against_evaluations, merge_archives, sources
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.figures import files
from grs_evo.errors import InputError
from grs_evo.storage.archive_file import read_archive, write_archive
from grs_evo.structures.structure import to_atoms

TOOLS = Path(__file__).parents[1] / "tools"
NAMES = (
    "hull_coverage",
    "histograms",
    "embedding",
    "pareto",
    "convergence",
    "compare",
    "genealogy",
    "merge",
    "picture",
)


@pytest.fixture(autouse=True)
def beside_the_tools(monkeypatch):
    """As a tool finds what stands beside it when it is started."""
    monkeypatch.syspath_prepend(TOOLS)


def tool(name):
    spec = importlib.util.spec_from_file_location(f"tool_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("runs") / "first", in_set=5)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    from ase.io import write

    rng = np.random.default_rng(5)
    path = tmp_path_factory.mktemp("cells") / "cells.extxyz"
    write(path, [to_atoms(lattice(rng, 8), ("Ta",)) for _ in range(4)])
    return path


def rows(path):
    with open(path, encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# Programs one after the other, with their folder first on the path as each has it; what they import is imported once.
PROGRAMS = """
import contextlib, io, json, runpy, sys
folder, *names = sys.argv[1:]
sys.path[0], said = folder, {}
for name in names:
    sys.argv = [f"{folder}/{name}.py", "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            assert not end.code, name
    said[name] = stream.getvalue()
print(json.dumps(said))
"""


@pytest.mark.long
def test_tools_start_as_programs():
    """As a user starts them: their folder comes first on the path, so none may bear the name of a package in use."""
    command = [sys.executable, "-c", PROGRAMS, str(TOOLS), *NAMES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [f"tools/{name}.py" in said[name] for name in NAMES] == [True] * len(NAMES)
    done = subprocess.run([sys.executable, TOOLS / "merge.py", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, said["merge"]), done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_help_has_examples(name, capsys):
    with pytest.raises(SystemExit) as ended:
        tool(name).main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"python tools/{name}.py" in said
    assert "A source is a run folder" in said


@pytest.fixture
def no_plots(monkeypatch):
    """Drawing takes most of a tool's time, and the numbers do not depend on it."""
    monkeypatch.setattr(files, "save", lambda drawing, stem: [])


def test_plots_come_in_three_formats_and_the_same_twice(run, tmp_path, capsys):
    written = {}
    for attempt in ("a", "b"):
        (tmp_path / attempt).mkdir()
        tool("pareto").main([str(run), "-o", str(tmp_path / attempt / "plot")])
        written[attempt] = {path.name: path.read_bytes() for path in (tmp_path / attempt).iterdir()}
    assert set(written["a"]) == {"plot.png", "plot.svg", "plot.pdf", "plot.csv"}
    assert written["a"] == written["b"]
    assert written["a"]["plot.png"][:4] == b"\x89PNG"
    assert written["a"]["plot.pdf"][:4] == b"%PDF"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("merge", "embedding", "pareto")])
def test_every_tool_draws_and_writes_its_numbers(name, run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(files, "save", partial(files.save, formats=("svg",)))  # the quickest
    tool(name).main([str(run), "-o", str(tmp_path / "plot")])
    assert "<svg" in (tmp_path / "plot.svg").read_text()
    assert len(rows(tmp_path / "plot.csv")) > 0
    assert "wrote" in capsys.readouterr().out


def test_coverage_of_a_file_by_itself_is_whole(cells, tmp_path, capsys, no_plots):
    tool("hull_coverage").main(
        [str(cells), f"same={cells}", f"half={cells}@0:2", "--near", "0.5", "-o", str(tmp_path / "c.png")]
    )
    found = rows(tmp_path / "c.csv")
    same = [row for row in found if row["set"] == "same"][-1]
    half = [row for row in found if row["set"] == "half"][-1]
    assert float(same["v_rep"]) == pytest.approx(1.0)
    assert float(same["inside"]) == 1.0
    assert float(half["v_rep"]) < 0.9
    said = capsys.readouterr().out
    assert "V_rep = 1 " in said or float(same["factor"]) < 1.001
    assert "near the set: 100.0 % within 0.5 of " in said


def test_comparing_a_file_with_itself_gives_zero(cells, tmp_path, capsys, no_plots):
    tool("compare").main([str(cells), str(cells), "-o", str(tmp_path / "c")])
    assert all(float(row["difference_of_means"]) == 0 for row in rows(tmp_path / "c.csv"))
    assert "means      0 " in capsys.readouterr().out
    tool("histograms").main([str(cells), str(cells), "-o", str(tmp_path / "h")])
    assert all(float(row["wasserstein_sigma cells"]) == 0 for row in rows(tmp_path / "h.csv"))


def test_embedding_of_two_sources(run, cells, tmp_path, capsys, no_plots):
    pytest.importorskip("openTSNE")
    tool("embedding").main([str(run), f"mine={cells}", "--target", "--iterations", "50", "-o", str(tmp_path / "e")])
    found = rows(tmp_path / "e.csv")
    assert {row["set"] for row in found} == {"target", "first", "mine"}
    assert sum(row["set"] == "mine" for row in found) == 32


def test_pareto_numbers_are_those_of_the_archive(run, tmp_path, capsys, no_plots):
    tool("pareto").main([str(run), "-o", str(tmp_path / "p")])
    kept = read_archive(run)
    found = rows(tmp_path / "p.csv")
    assert [float(row["mean"]) for row in found] == kept.objectives[:, 0].tolist()
    assert [int(row["n_atoms"]) for row in found] == kept.objectives[:, 2].astype(int).tolist()


def test_convergence_of_strategies_has_bands(run, tmp_path, capsys, no_plots):
    other = run_folder(tmp_path / "other", seed=3)
    tool("convergence").main([f"GA={run}", f"GA={other}", f"single={run}", "--reach", "10", "-o", str(tmp_path / "c")])
    found = rows(tmp_path / "c.csv")
    assert {row["strategy"] for row in found} == {"GA", "single"}
    ga = [row for row in found if row["strategy"] == "GA"]
    assert all(float(row["low"]) <= float(row["median"]) <= float(row["high"]) for row in ga)
    assert "2 of 2 reached 10" in capsys.readouterr().out


def test_convergence_by_hand():
    history = {
        "island": np.array([0, 0, 1, 1]),
        "generation": np.array([0, 1, 0, 1]),
        "evaluations": np.array([5, 10, 5, 20]),
        "gradient_evaluations": np.array([0, 1, 0, 0]),
        "best_value": np.array([3.0, 2.0, 4.0, 1.0]),
    }
    spent, best = best_against_evaluations(history)
    assert spent.tolist() == [10, 31]
    assert best.tolist() == [3.0, 1.0]
    rounds = {name: np.concatenate([column, column]) for name, column in history.items()}
    rounds["round"] = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    assert best_against_evaluations(rounds)[1].tolist() == [3.0, 1.0, 3.0, 1.0]


def test_genealogy_names_what_is_not_kept(run, tmp_path, capsys, no_plots):
    uid = read_archive(run).individuals[-1].uid
    for name in (str(uid), f"0/{uid}"):
        tool("genealogy").main([str(run), "--uid", name, "-o", str(tmp_path / "g")])
        found = rows(tmp_path / "g.csv")
        assert f"0/{uid}" in capsys.readouterr().out.splitlines()[0]
    tool("genealogy").main([str(run), "--uid", str(uid), "-o", str(tmp_path / "g")])
    assert found[0]["uid"] == str(uid)
    assert "individuals 12 are in the archive" not in capsys.readouterr().out


def test_genealogy_shows_the_whole_line_of_the_best(tmp_path, capsys, no_plots):
    """Of a run: every ancestor along first parents, though the archive kept few."""
    from grs_evo.driver.session import run

    folder = run(small.write(tmp_path), quiet=True).folder
    best = min(read_archive(folder).individuals, key=lambda one: (one.value, one.uid))
    tool("genealogy").main([str(folder), "-o", str(tmp_path / "g")])
    found = {int(row["uid"]): row for row in rows(tmp_path / "g.csv")}
    line = [best.uid, *best.line["uid"].tolist()]
    assert len(line) > 2
    assert [int(found[uid]["depth"]) for uid in line] == sorted(int(found[uid]["depth"]) for uid in line)
    assert all(found[uid]["known"] == "1" and found[uid]["operator"] for uid in line)
    assert found[line[-1]]["operator"] in ("random", "replace")
    assert any(found[uid]["kept"] == "0" for uid in line)
    said = capsys.readouterr().out
    assert "(structure not kept)" in said
    assert "remembered by descendants" in said


def test_merged_archives_hold_all_fronts_and_stay_a_family(tmp_path, capsys):
    for k in (0, 1):
        made = archive(10, seed=0)
        lower = [one.__class__(**{**vars(one), "terms": one.terms * (1 - 0.3 * k)}) for one in made.individuals]
        objectives = made.objectives * [1 - 0.3 * k, 1 - 0.3 * k, 1]
        changed = {**vars(made), "individuals": lower, "objectives": objectives}
        write_archive(tmp_path / f"{k}.h5", made.__class__(**changed))
    tool("merge").main([str(tmp_path / "0.h5"), str(tmp_path / "1.h5"), "-o", str(tmp_path / "all.h5")])
    merged = read_archive(tmp_path / "all.h5")
    second = [one for one in merged.individuals if one.island >= 2]
    assert len(second) > 0
    assert all(one.uid >> 40 == 2 for one in second)
    assert all(parent == -1 or parent >> 40 == 2 for one in second for parent in one.parents)
    assert all(len(one.line) == 0 or one.line["uid"][0] == one.parents[0] for one in merged.individuals)
    others = np.concatenate([one.line["other"] for one in second])
    assert set(np.unique(others >> 40)) == {-1, 2}
    assert sorted(np.unique(merged.history["island"])) == [0, 1, 2, 3]
    same = merge_archives([read_archive(tmp_path / "0.h5")] * 2, ["a", "b"])
    assert len(same.individuals) == len(merge_archives([read_archive(tmp_path / "0.h5")], ["a"]).individuals)


def test_runs_that_cannot_be_compared_are_not_merged(tmp_path):
    one = archive(3)
    cases = {
        "elements": archive(3, elements=("Cu", "Au")),
        "another target": archive(3, seed=1),
        r"another \[loss\]": archive(3, run_file="[loss]\nmean = 2.0\n"),
    }
    for words, other in cases.items():
        with pytest.raises(InputError, match=words):
            merge_archives([one, other], ["one", "other"])


def test_bad_input_is_one_line_and_code_2(run, cells, tmp_path, capsys):
    (tmp_path / "bare.h5").write_bytes(b"not an archive")
    no_target = run_folder(tmp_path / "no-target", target=False)
    empty = run_folder(tmp_path / "empty", n=0)
    cases = [
        ("hull_coverage", [str(tmp_path / "missing.extxyz")], "no such file"),
        ("hull_coverage", [str(tmp_path / "bare.h5")], "no readable HDF5 file"),
        ("hull_coverage", [str(no_target)], "holds no target"),
        ("hull_coverage", [str(run), "--variance", "2"], "at most 1"),
        ("pareto", [str(empty)], "empty"),
        ("histograms", [str(run), "--columns", "0,9999"], "there are functions 0 to"),
        ("histograms", [str(run), "--columns", "a"], "must be numbers"),
        ("genealogy", [str(run), "--uid=-7"], "uid -7: must be island/number such as 3/29"),
        ("compare", [str(run), "--pick", "set", "-o", str(tmp_path / "bare.h5" / "x")], "is no folder"),
        *(
            (name, [str(run), "-o", str(tmp_path / "no" / "x.h5")], "is no folder")
            for name in NAMES
            if name != "embedding"
        ),
        ("hull_coverage", [str(run), "--growth", "0"], "--growth: 0 must be a whole number of 1 or more"),
        ("picture", [str(run), "--reach", "-1"], "--reach: -1 must be a number above 0 and at most 50 Å"),
        ("picture", [str(run), "--reach", "nan"], "must be a number"),
        ("merge", [str(run), "--size", "0"], "--size: 0 must be a whole number from 2 to 100000"),
        ("compare", [str(run), "--worst", "-3"], "--worst: -3 must be a whole number of 0 or more"),
        ("compare", [str(cells)], "is a structure file, so a second source is needed"),
        ("histograms", [str(cells)], "is a structure file, so a second source is needed"),
        ("histograms", [str(run), "--bins", "1.5"], "--bins: 1.5 must be a whole number"),
        ("embedding", [str(cells), "--perplexity", "1000"], "perplexity: is 1000; of 32 different environments"),
        ("embedding", [str(cells), "--most"], "expected one argument"),
        ("genealogy", [str(run), "--uid", "9/9"], "uid 9/9 (9895604649993): the archive holds no such individual"),
        ("genealogy", [str(run), "--most", "0"], "must be a whole number"),
        ("convergence", [str(run), "--reach", "nan"], "must be a number"),
        ("pareto", [], "arguments are required: archives"),
    ]
    run_tool = tool("arguments").run
    for name, given, words in cases:
        assert run_tool(tool(name).main, given) == 2, (name, given)
        said = capsys.readouterr().err
        assert words in said
        assert said.startswith("error: ")
        assert said.count("\n") == 1
    assert not (tmp_path / "no").exists()


def test_fronts_of_runs_judged_differently_still_show_what_accuracy_costs(run, tmp_path, capsys, no_plots):
    made = archive(6, seed=2)
    values = np.array([[one.value, one.structure.n_atoms] for one in made.individuals])
    write_archive(tmp_path / "v.h5", replace(made, objective_names=("value", "n_atoms"), objectives=values))
    tool("pareto").main([str(run), f"free={tmp_path / 'v.h5'}", "-o", str(tmp_path / "p")])
    said = capsys.readouterr().out
    assert "no front is drawn: the archives were judged by" in said
    found = rows(tmp_path / "p.csv")
    assert [float(row["value"]) for row in found if row["archive"] == "free"] == [one.value for one in made.individuals]
    assert {row["mean"] for row in found if row["archive"] == "free"} == {""}


def test_axes_are_named_in_words_and_atoms_are_counted(run, tmp_path, monkeypatch):
    drawings = []
    monkeypatch.setattr(files, "save", lambda drawing, stem: drawings.append(drawing) or [])
    made = archive(30, seed=2)
    values = np.array([[one.value, one.structure.n_atoms] for one in made.individuals])
    write_archive(tmp_path / "v.h5", replace(made, objective_names=("value", "n_atoms"), objectives=values))
    tool("pareto").main([str(tmp_path / "v.h5"), "-o", str(tmp_path / "p")])
    left, right = drawings[0].axes
    assert (left.get_xlabel(), left.get_ylabel()) == ("number of atoms", "total loss")
    assert left.get_xscale() == "linear"
    assert right.get_xscale() == "log"
    assert "atoms" in right.get_xlabel()
    drawings[0].canvas.draw()
    for axis in (left.xaxis, left.yaxis, right.xaxis, right.yaxis):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels(which="both") if label.get_text()]
        boxes = [box for box in boxes if box.width]
        across = axis.axis_name
        spans = sorted((box.x0, box.x1) if across == "x" else (box.y0, box.y1) for box in boxes)
        assert all(first[1] <= second[0] for first, second in pairwise(spans)), axis.axis_name


def test_sources_pick_and_rename(run, cells):
    found = read_archive(run)
    assert len(sources.pick(found, "auto", "x")) == 5
    assert len(sources.pick(found, "all", "x")) == 12
    assert sources.pick(found, "best", "x")[0].value == min(one.value for one in found.individuals)
    assert 0 < len(sources.pick(found, "front", "x")) <= 12
    assert sources.split_name("mine=a/b.extxyz") == ("mine", "a/b.extxyz")
    assert sources.split_name("a/melt.extxyz@0:10")[0] == "melt"
    assert sources.split_name(str(run / "archive.h5"))[0] == "first"
    renamed = sources.structures(str(run), elements=("W", "Ta"))
    assert {int(k) for one in renamed.structures for k in one.species} == {1}
    with pytest.raises(InputError, match="element Ta is not in the basis"):
        sources.structures(str(run), elements=("W",))


def test_wide_rows_have_blocks_and_large_sets_are_thinned():
    made = archive(6, elements=("Cu", "Au"))
    basis = made.basis
    structures = [one.structure for one in made.individuals]
    found = environments.of_structures(structures, basis)
    wide = found.wide(basis)
    for k, species in enumerate(found.species):
        other = basis.columns(1 - species)
        assert (wide[k, other] == 0).all()
    assert len(environments.function_names(basis)) == basis.n_desc == wide.shape[1]
    thin = environments.of_structures(structures, basis, most=30)
    assert len(thin) <= 30 < thin.total == len(found)
    assert {0, len(structures) - 1} <= set(thin.owner)


def test_weights_of_the_target_count():
    from grs_evo.targets.target import Target

    rng = np.random.default_rng(0)
    basis = archive(1).basis
    light, heavy = lattice(rng, 8), lattice(rng, 27)
    target = Target.from_structures([light, heavy], basis, weights=[9.0, 1.0])
    drawn = environments.of_target(target)
    np.testing.assert_allclose(drawn.wide(basis).mean(axis=0), target.moments.mean, rtol=0.1)


@pytest.mark.long
def test_the_example_is_thirty_lines_and_runs(tmp_path, monkeypatch, capsys):
    path = TOOLS / "examples" / "target_to_figure.py"
    assert len(path.read_text().splitlines()) <= 30
    monkeypatch.setattr(
        sys, "argv", [str(path), str(TOOLS.parent / "runs/liquid-ta/target.extxyz"), str(tmp_path / "a")]
    )
    runpy.run_path(str(path), run_name="__main__")
    assert (tmp_path / "a.png").exists()
    assert "loss " in capsys.readouterr().out
