"""What is said of the result at the end of a run, in its status, in scores and in the report."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
from ase.build import bulk
from ase.io import write

from grs_evo.analysis import quality
from grs_evo.analysis.figures.observables import curve_figures
from grs_evo.analysis.floor import FITTED, floor_of
from grs_evo.analysis.quality import judge, most_off, reference_of, untold
from grs_evo.cli.check import check
from grs_evo.cli.commands import main
from grs_evo.descriptors.basis import build_basis
from grs_evo.descriptors.describe import describe_compact
from grs_evo.driver.config.run_file import read as read_run
from grs_evo.driver.monitor import closing
from grs_evo.driver.monitor.summary import Result
from grs_evo.errors import InputError
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.observables import curves, describe_target
from grs_evo.report.report import write_report
from grs_evo.storage.archive_file import read_archive
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.structure import from_atoms
from grs_evo.targets.moments import moments_of
from grs_evo.targets.target import Target

ELEMENTS = ("Cu", "Au")


def _call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(one) for one in arguments])
    return int(ended.value.code or 0)


def crystal(repeat: int = 2):
    atoms = bulk("Cu", "fcc", a=3.75, cubic=True)
    atoms.symbols[0] = "Au"
    return atoms * (repeat, repeat, repeat)


def warm(seed: int, repeat: int = 3):
    atoms = crystal(repeat)
    atoms.positions += np.random.default_rng(seed).normal(0, 0.06, atoms.positions.shape)
    return atoms


def spoiled():
    """One gold atom pushed towards its neighbour."""
    atoms = crystal()
    atoms.positions[0] += 0.35 * atoms.get_distance(0, 1, mic=True, vector=True)
    return atoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("judged")
    assert _call("run", small.write(place)) == 0
    return place / "case"


def ended(folder: Path, **changes: object) -> list[str]:
    """The closing lines of a run, as if it had ended otherwise."""
    data = TargetData.read(folder / "target.h5")
    found = read_archive(folder)
    result = Result(folder, True, "generations", 12, 100.0, tuple(found.individuals), "")
    return closing.close(replace(result, **changes), read_run(folder / "run.toml"), data, (), list)


def test_a_run_ends_with_a_judgement_and_what_to_do_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("run", small.write(tmp_path)) == 0
    told = json.loads((tmp_path / "case" / "status.json").read_text())["quality"]
    last = told["line"]
    assert last.startswith("best structure (")
    assert " atoms): " in last
    said = capsys.readouterr().err.rstrip()
    judged, _, following = said.rpartition("structures  grs-evo export ")
    assert "grs-evo report " in following
    assert " ".join(judged.split()).endswith(" ".join(last.split()))
    assert max(map(len, said.splitlines())) <= 80 or str(tmp_path) in said
    assert told["subject"] == "best structure"
    assert set(told["rows"][0]) >= {"observable", "subject", "value", "target", "scatter", "deviation"}
    assert _call("status", tmp_path / "case") == 0
    assert f"quality      {last}" in capsys.readouterr().out
    assert _call("status", tmp_path / "case", "--json") == 0
    assert json.loads(capsys.readouterr().out)["quality"] == told


@pytest.mark.parametrize("odd", [None, 3, "x", [], {}, {"line": 3}])
def test_a_status_without_quality_is_as_before(
    folder: Path, tmp_path: Path, odd: object, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    known = json.loads((copy / "status.json").read_text())
    (copy / "status.json").write_text(json.dumps({**known, "quality": odd}))
    assert _call("status", copy, "--json") == 0
    assert json.loads(capsys.readouterr().out)["quality"] is None
    assert _call("status", copy) == 0
    assert "\nquality" not in capsys.readouterr().out


def test_what_is_stopped_early_says_so(folder: Path) -> None:
    assert "stopped early" not in ended(folder)[-1]
    assert "; stopped early): " in ended(folder, finished=False)[-1]
    assert ended(folder, archive=()) == []


@pytest.mark.parametrize("error", [InputError("no atoms\nthere"), ValueError("odd")])
def test_no_observable_ends_a_run(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(closing, "judge", fails)
    line = ended(folder)[-1]
    assert line.startswith("best structure: not compared with the target: ")
    assert str(error).split()[-1] in line
    assert "\n" not in line
    told = json.loads((folder / "status.json").read_text())["quality"]
    assert told["line"] == line
    assert told["grade"] is None


def _floored(structures: list, **loss: object):
    basis = build_basis(ELEMENTS, (3, 1), (0, 1), 4.0)
    target = Target.from_structures(structures, basis)
    return make_objective(basis, target, LossOptions(**loss))


def test_the_floor_is_what_halves_of_a_target_differ_by() -> None:
    frames = [from_atoms(warm(k), ELEMENTS) for k in range(6)]
    found = floor_of(_floored(frames))
    assert found is not None
    assert "first and the second half of 6 frames" in found.how
    # by hand: the one half as a target in the scales of the whole
    basis = build_basis(ELEMENTS, (3, 1), (0, 1), 4.0)
    whole = _floored(frames)
    losses = []
    for a, b in ((frames[:3], frames[3:]), (frames[3:], frames[:3])):
        judge_ = whole.with_target(Target.from_structures(a, basis), keep_scales=True)
        rows = Target.from_structures(b, basis)
        position = judge_.term_names.index("structure")
        losses.append(judge_.rows_loss(rows.sample_rows, rows.sample_species).terms[position])
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-9)
    # less so where both halves hold more
    more = floor_of(_floored([from_atoms(warm(k), ELEMENTS) for k in range(24)]))
    assert more is not None
    assert more.loss < found.loss


def test_one_structure_is_cut_in_two_and_a_crystal_has_no_floor() -> None:
    found = floor_of(_floored([from_atoms(warm(3, 6), ELEMENTS)]))
    assert found is not None
    assert found.how == "two halves of the target"
    assert floor_of(_floored([from_atoms(crystal(6), ELEMENTS)])) is None
    assert floor_of(_floored([from_atoms(warm(3, 2), ELEMENTS)])) is None  # four atoms of gold for each half
    assert floor_of(_floored([from_atoms(warm(3), ELEMENTS), from_atoms(warm(3, 2), ELEMENTS)])) is None


def test_a_search_stops_at_the_floor_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "target.xyz", warm(3, 6), format="extxyz")
    text = """[target]
files = ["target.xyz"]
[basis]
n_max = [3, 1]
l_max = [0, 1]
cutoff = 4.0
[loss]
terms = {}
[candidates]
kind = "random"
sizes = [32, 32]
[relax]
max_evaluations = 200
[search]
islands = 1
population = 3
[stop]
floor = true
generations = 4
"""
    (tmp_path / "case.toml").write_text(text)
    assert _call("run", tmp_path / "case.toml") == 0
    said = capsys.readouterr().err
    assert "stop.floor: two halves of the target differ by" in " ".join(said.split())
    line = next(one for one in said.splitlines() if one.startswith("floor: "))
    told = json.loads((tmp_path / "case" / "status.json").read_text())["quality"]["floor"]
    assert _call("report", tmp_path / "case", "-o", tmp_path / "page.html") == 0
    assert "loss by which two halves of the target differ" in (tmp_path / "page.html").read_text()
    capsys.readouterr()
    assert ("below it" in line) == (told["best"] < told["loss"])
    assert read_run(tmp_path / "case" / "run.toml").stop.loss == pytest.approx(FITTED * told["loss"])
    (tmp_path / "small.xyz").write_text(small.TARGET)
    (tmp_path / "none.toml").write_text(text.replace("target.xyz", "small.xyz").replace("[32, 32]", "[4, 4]"))
    assert _call("run", tmp_path / "none.toml") == 2
    assert "stop.floor: the target has no halves" in capsys.readouterr().err


FRAMES = """seed = 2
[target]
files = ["frames.xyz"]
[basis]
n_max = [3, 1]
l_max = [0, 1]
cutoff = 4.0
[loss]
terms = {}
[candidates]
kind = "random"
sizes = [8, 8]
[relax]
max_evaluations = 20
[search]
islands = 1
population = 2
[checkpoint]
generations = 1
max_cost = 1.0
[stop]
generations = 1
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("frames")
    write(place / "frames.xyz", [warm(k, 2) for k in range(10)], format="extxyz")
    (place / "case.toml").write_text(FRAMES)
    return place


def test_the_last_fifth_of_ten_frames_is_kept_out(frames: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _call("run", frames / "case.toml") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "the last 2 of 10 frames are kept out" in said
    data = TargetData.read(frames / "case" / "target.h5")
    basis = data.basis
    seen, kept = ([from_atoms(warm(k, 2), basis.elements) for k in which] for which in (range(8), (8, 9)))
    assert data.target.moments.mean == pytest.approx(Target.from_structures(seen, basis).moments.mean, rel=1e-6)
    assert data.kept_out is not None
    assert [one.n_atoms for one in data.kept_out.structures] == [32, 32]
    # the loss against them by hand, in the scales of the search
    status = json.loads((frames / "case" / "status.json").read_text())
    told = status["kept_out"]
    assert status["quality"]["kept_out"] == told
    assert said.count(told["line"]) == 2  # when the last generation was saved, and at the end
    options = LossOptions(core={"distances": {}})
    objective = make_objective(basis, Target.from_structures(seen, basis), options)
    other = objective.with_target(Target.from_structures(kept, basis), keep_scales=True)
    best = read_archive(frames / "case").atoms(0)
    position = other.term_names.index("structure")
    assert told["loss"] == pytest.approx(other.evaluate(best).terms[position], rel=1e-5)
    assert told["seen"] == pytest.approx(objective.evaluate(best).terms[position], rel=1e-5)
    assert (
        told["grade"]
        == judge([from_atoms(best, basis.elements)], describe_target(kept, basis.elements), "").quality.grade
    )
    assert _call("status", frames / "case") == 0
    assert f"kept out     {told['line']}" in capsys.readouterr().out
    page = frames / "page.html"
    assert _call("report", frames / "case", "-o", page) == 0
    assert "Against the 2 frames kept out" in page.read_text()
    assert _call("resume", frames / "case", "--extend", "stop.generations=2", "--quiet") == 0
    assert json.loads((frames / "case" / "status.json").read_text())["kept_out"]["apart"] == told["apart"]


def test_a_part_of_one_structure_is_kept_out(frames: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The environments beyond a cut; the search sees the others, in descriptors, pair distances and observables."""
    atoms = warm(5, 5)
    write(frames / "large.xyz", atoms, format="extxyz")
    text = FRAMES.replace("frames.xyz", "large.xyz").replace("[basis]", "kept_out = 0.45\n[basis]")
    text = text.replace("terms = {}", "terms = {pair_distances = 0.3, coordination = 0.1}")
    (frames / "part.toml").write_text(text)
    assert _call("run", frames / "part.toml") == 0
    assert "225 of 500 environments, side by side, are kept out" in " ".join(capsys.readouterr().err.split())
    data = TargetData.read(frames / "part" / "target.h5")
    assert data.kept_out is not None
    (seen,), (kept,) = data.target.centres, data.kept_out.centres
    assert sorted([*seen, *kept]) == list(range(500))
    axis = int(np.argmax(atoms.cell.lengths()))
    along = from_atoms(atoms, ELEMENTS).positions @ np.linalg.inv(atoms.cell.array)
    assert (along[kept, axis] % 1.0).min() >= (along[seen, axis] % 1.0).max()
    # by hand: rows of all atoms, those of each part
    structure = from_atoms(atoms, data.basis.elements)
    rows = describe_compact(structure, data.basis)
    for target, own in ((data.target, seen), (data.kept_out, kept)):
        expected = moments_of(rows[own], structure.species[own], data.basis.sizes)
        np.testing.assert_allclose(target.moments.mean, expected.mean, rtol=1e-5, atol=1e-8)
        np.testing.assert_array_equal(target.moments.counts, expected.counts)
        np.testing.assert_array_equal(target.sampled(), own)
    told = json.loads((frames / "part" / "status.json").read_text())["kept_out"]
    options = LossOptions(core={"distances": {}})
    objective = make_objective(data.basis, data.target, options)
    other = objective.with_target(data.kept_out, keep_scales=True)
    best = read_archive(frames / "part").atoms(0)
    position = other.term_names.index("structure")
    assert told["loss"] == pytest.approx(other.evaluate(best).terms[position], rel=1e-5)
    assert told["seen"] == pytest.approx(objective.evaluate(best).terms[position], rel=1e-5)
    assert "against the 225 environments kept out" in told["line"]
    parts = [describe_target([structure], data.basis.elements, 5.5, centres=[own]).survey for own in (seen, kept)]
    whole = describe_target([structure], data.basis.elements, 5.5).survey
    np.testing.assert_array_equal(parts[0].histogram + parts[1].histogram, whole.histogram)
    np.testing.assert_array_equal(parts[1].nearest, whole.nearest[kept])
    assert len(parts[1].rows.kinds) == 225
    (frames / "part.toml").write_text(text.replace("sizes = [8, 8]", "sizes = [8, 8]\ncarved = 0.5"))
    assert _call("check", frames / "part.toml") == 2
    assert "candidates.carved: is 0.5, but target.kept_out" in " ".join(capsys.readouterr().err.split())


def test_what_cannot_be_kept_out_is_refused(frames: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(text: str) -> str:
        (frames / "odd.toml").write_text(text)
        assert _call("check", frames / "odd.toml") == 2
        return " ".join(capsys.readouterr().err.split())

    given = FRAMES.replace("[basis]", "kept_out = 0.3\n[basis]")
    alike = given.replace('"frames.xyz"', '"frames.xyz@0", "one.xyz"')
    write(frames / "one.xyz", warm(0, 3), format="extxyz")
    assert "the target's frames are not of one system" in refused(alike)
    assert "would be seen; at least 50 of each are needed" in refused(given.replace("frames.xyz", "one.xyz"))
    cluster = warm(0, 3)
    cluster.pbc = False
    write(frames / "cluster.xyz", cluster, format="extxyz")
    assert "is not periodic" in refused(given.replace("frames.xyz", "cluster.xyz"))
    assert "a set, or a search away" in refused(given.replace("terms = {}", "terms = {}\nw_structure = -1.0"))
    alloy = "alloy = {a = 3.7, composition = {Cu = 0.5, Au = 0.5}}"
    assert "kept_out divides the frames" in refused(given.replace('files = ["frames.xyz"]', alloy))
    # all is seen where it is asked for, by sets, and of a series of strained cells, which does not stop at a floor
    series = [warm(k, 3) for k in range(10)]
    (frames / "all.toml").write_text(FRAMES.replace("frames.xyz", "series.xyz"))
    for strain, seen in ((0.0, 8), (0.008, 10)):
        for k, one in enumerate(series):
            one.set_cell(one.cell * (1 + strain * k), scale_atoms=True)
        write(frames / "series.xyz", series, format="extxyz")
        found = check(frames / "all.toml")
        assert found["target"]["structures"] == seen
        assert any("stop.floor" in note for note in found["notes"]) == (seen == 8)
    # nor does one whose archive is a front: one small loss is not all that it looks for
    (frames / "all.toml").write_text(FRAMES + '[archive]\nobjectives = ["value", "n_atoms"]\n')
    assert not any("stop.floor" in note for note in check(frames / "all.toml")["notes"])
    for text in (given.replace("0.3", "0.0"), FRAMES.replace("terms = {}", "w_set = 1.0")):
        (frames / "all.toml").write_text(text)
        found = check(frames / "all.toml")
        assert found["target"]["structures"] == 10
    assert check(frames / "case.toml")["target"]["structures"] == 8


def test_a_spoiled_cell_differs_by_its_contacts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "target.extxyz", [warm(k) for k in range(4)])
    write(tmp_path / "cells.extxyz", [warm(9, 2), spoiled()])
    assert _call("target", tmp_path / "target.extxyz", "-o", tmp_path / "t.h5", "--cutoff", 4) == 0
    capsys.readouterr()
    assert _call("score", tmp_path / "cells.extxyz", "--target", tmp_path / "t.h5", "--json") == 0
    good, bad = (one["quality"] for one in json.loads(capsys.readouterr().out))
    assert good["grade"] != "differs"
    assert good["reasons"] == []
    assert bad["grade"] == "differs"
    assert re.fullmatch(r"(Cu-Au|Au-Cu) contacts at 1\.72 Å, the target has none below 2\.\d\d", bad["reasons"][0]), (
        bad["reasons"]
    )
    assert len(bad["reasons"]) <= 3
    cells = tmp_path / "cells.extxyz"
    assert _call("score", cells, "--target", tmp_path / "t.h5", "--given", cells) == 0
    assert "against the given structures: 0 % of its environments are new" in capsys.readouterr().out
    assert _call("score", tmp_path / "cells.extxyz", "--target", tmp_path / "t.h5") == 0
    text = capsys.readouterr().out
    assert f"  {good['line']}\n" in text
    assert f"  {bad['line']}\n" in text
    assert text.count("observables most off") == 2


def test_a_target_without_structures_is_not_judged_by(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = TargetData.read(folder / "target.h5")
    bare = TargetData(data.basis, replace(data.target, structures=()), ())
    (tmp_path / "t.h5").write_bytes(bare.to_file())
    write(tmp_path / "cell.extxyz", crystal())
    assert _call("score", tmp_path / "cell.extxyz", "--target", tmp_path / "t.h5", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["quality"] is None
    assert reference_of(bare.target, ELEMENTS) is None


def test_the_report_says_it_at_its_head(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ended(folder)[-1]
    html = write_report(folder, tmp_path / "r.html").read_text()
    assert f'<p class="quality">{line[0].upper()}{line[1:]}</p>' in html
    assert html.index('class="quality"') < html.index("<nav")
    assert 'id="observables"' in html
    assert 'data-plot="pair-distribution-1"' in html
    assert 'data-plot="angles-1"' in html
    monkeypatch.setattr("grs_evo.report.page._without_scripts", lambda *_: "")  # drawing takes most of a page's time
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "state": "stopped"}))
    assert "; stopped early): " in write_report(folder, tmp_path / "early.html").read_text()
    (folder / "status.json").write_text(json.dumps(status))
    alone = write_report(folder / "archive.h5", tmp_path / "alone.html")
    assert 'class="quality"' in alone.read_text()
    (tmp_path / "archive.h5").write_bytes((folder / "archive.h5").read_bytes())
    assert 'class="quality"' not in write_report(tmp_path / "archive.h5", tmp_path / "bare.html").read_text()


def test_a_search_that_moves_away_is_told_how_far() -> None:
    reference = describe_target([warm(k) for k in range(4)], ELEMENTS)
    far = judge([from_atoms(spoiled(), ELEMENTS)], reference, "farthest structure", away=True)
    assert far.line.startswith("farthest structure (32 atoms): away from the target by ")
    assert " scatters: " in far.line
    near = judge([from_atoms(warm(9, 2), ELEMENTS)], reference, "farthest structure", away=True)
    assert "not away from the target by any observable" in near.line
    both = judge([from_atoms(warm(k, 2), ELEMENTS) for k in (8, 9)], reference, "representative set")
    assert both.line.startswith("representative set (2 structures, 64 atoms): ")


def test_frames_are_counted_by_their_weights(folder: Path) -> None:
    sizes = np.full(6, 100)
    assert quality._frames(sizes, np.ones(6)).tolist() == list(range(6))
    drawn = np.bincount(quality._frames(sizes, np.array([1.0, 1, 1, 1, 1, 3])), minlength=6)
    assert drawn[5] == pytest.approx(3 * drawn[0], abs=2)
    many = quality._frames(np.full(5000, 100), np.ones(5000))
    assert len(many) == len(set(many.tolist())) == 200


def test_a_target_too_large_for_a_short_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    basis = build_basis(ELEMENTS, n_max=(1,), l_max=(0,), cutoff=3.0)
    target = Target.from_structures(crystal(), basis)
    monkeypatch.setattr(quality, "_MOST", 10)
    monkeypatch.setattr(quality, "_COUNTING", 1.0)
    with pytest.raises(InputError, match="grs-evo report"):
        reference_of(target, ELEMENTS, 20.0)
    assert reference_of(target, ELEMENTS, 1e4) is not None


def test_curves_have_the_worst_first_and_the_rest_to_choose_from() -> None:
    reference = describe_target([warm(k) for k in range(4)], ELEMENTS)
    cell = from_atoms(spoiled(), ELEMENTS)
    told = judge([cell], reference, "best structure")
    assert told.quality is not None
    groups = dict(curve_figures(curves([cell], reference), told.quality, "best structure", 3))
    assert set(groups) == {"pair distribution", "angles"}
    assert [len(figures) for figures in groups.values()] == [3, 3]
    *_, last = groups["angles"]
    assert len(last.choices) == 4  # of the six by their elements, two are drawn
    assert len(set(last.table["subject"])) == len(last.choices)
    worst = groups["pair distribution"][0]
    assert worst.series[0].band is not None
    assert worst.legend


def test_rows_without_a_limit_come_last() -> None:
    row = {"observable": "a", "subject": "", "quantity": "q", "unit": "Å", "value": 1.0, "target": None,
           "scatter": 0.1, "deviation": 9.0}  # fmt: skip
    told = most_off([{**row, "limit": None}, {**row, "observable": "b", "limit": 3.0}], 2)
    assert told["observable"] == ["b", "a"]
    assert told["quantity"][0] == "q (Å)"
    assert told["target"] == ["-", "-"]
    assert untold("", "x\ny").line == "not compared with the target: x y"
