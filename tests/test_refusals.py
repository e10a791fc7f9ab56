"""Values, names and files that cannot be: one line and exit code 2, soon, and no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small
from command_line import call

from grs_evo import run
from grs_evo.cli.status import status, text_of
from grs_evo.driver.config.run_file import parse, read
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.errors import InputError, names_refused
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.storage.run_folder import check_free, clear_partial, existing
from grs_evo.structures.reading import read_structures

LONG = "n" * 300


def _bind(folder: Path, text: str) -> None:
    given = parse(small.write(folder, text).read_text(), "case.toml")
    make_problem(given, make_target_data(given, folder), folder)


def _with(*lines: str) -> str:
    return small.LATTICE.replace("repeat = [2, 1, 1]", "\n".join(("repeat = [2, 1, 1]", *lines)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_with("number_density = 85"), "candidates.number_density: is 85 atoms/Å³; it must be at most 10"),
        (_with("number_density = 1e300"), "number_density"),
        (_with("min_distance = 1e4"), r"min_distance: is 1e\+04 Å, but at the density of template 0 sites are at most"),
        (_with("fixed = [9223372036854775808]"), "fixed: site 9223372036854775808 does not exist; sites are 0 to 7"),
        (_with("fixed = [-99999999999999999999]"), "fixed: site -99999999999999999999 does not exist"),
        (
            small.LATTICE.replace("islands = 5", "")
            + '[[islands]]\n[islands.candidates]\nkind = "lattice"\nlattice = "fcc"\nnumber_density = 1e300\n',
            "number_density",
        ),
    ],
)
def test_candidates_that_cannot_be_are_refused_at_once(tmp_path: Path, text: str, message: str) -> None:
    begun = time.process_time()
    with pytest.raises(InputError, match=message) as caught:
        _bind(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert time.process_time() - begun < 60


def test_a_dense_lattice_that_can_be_is_kept(tmp_path: Path) -> None:
    _bind(tmp_path, _with("number_density = 0.3"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".".join(["a"] * 3000) + " = 1", "deep"),
        ("x = " + "[" * 400 + "]" * 400, "deep|TOML"),
        ("x = " + "[" * 50_000 + "]" * 50_000, "TOML"),
        ("[" + ".".join(["a"] * 300) + "]", "deep"),
    ],
)
def test_nesting_without_end_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(text, "case.toml")


def test_a_run_file_without_end_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.toml"
    large.write_text("[candidates]\nfixed = [" + "1, " * 3_500_000 + "1]\n")
    begun = time.process_time()
    with pytest.raises(InputError, match="is larger than 2 MB"):
        read(large)
    assert time.process_time() - begun < 2
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", Path("/dev/zero")):
        with pytest.raises(InputError, match="pipe or device"):
            read(path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", f"{LONG}.toml"),
        ("run", "case.toml", "--out", LONG),
        ("check", f"{LONG}.toml"),
        ("resume", LONG),
        ("status", LONG),
        ("stop", LONG),
        ("report", LONG),
        ("report", "case.toml", "-o", LONG),
        ("export", LONG, "-o", "x.cif"),
        ("basis", f"{LONG}.toml"),
        ("basis", f"{LONG}.yace"),
        ("target", f"{LONG}.xyz", "-o", "t.h5", "--cutoff", "4"),
        ("target", "target.xyz", "-o", LONG, "--cutoff", "4"),
        ("score", "target.xyz", "--target", LONG),
        ("score", f"{LONG}.xyz", "--target", "t.h5"),
    ],
    ids=lambda arguments: " ".join(arguments).replace(LONG, "LONG"),
)
@pytest.mark.parametrize("kind", ["long", "no text"])
def test_odd_names_are_refused_in_every_command(tmp_path: Path, arguments: tuple[str, ...], kind: str) -> None:
    small.write(tmp_path)
    name = LONG.encode() if kind == "long" else b"target.xyz/\xfe"
    odd = [os.fsencode(word).replace(LONG.encode(), name) for word in arguments]
    code, text = call(*odd, cwd=tmp_path)
    assert "Traceback" not in text, text
    unwritable = arguments[0] == "target" and arguments[3] == LONG  # a place that cannot be written
    assert code == (74 if unwritable else 2), text
    assert len(text.strip().splitlines()) == 1, text


def _process(folder: Path, *arguments: str | bytes) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "grs_evo", *arguments], cwd=folder, capture_output=True, timeout=120, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def test_names_that_are_no_text_come_from_the_shell(tmp_path: Path) -> None:
    code, text = _process(tmp_path, "check", b"target.xyz/\xfe.toml")
    assert (code, "Traceback" in text, len(text.strip().splitlines())) == (2, False, 1), text


def test_a_name_that_is_no_text_is_a_name_like_others(tmp_path: Path) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("generations = 12", "generations = 1"))
    os.rename(case, os.fsencode(tmp_path) + b"/c\xff.toml")
    code, text = _process(tmp_path, "run", b"c\xff.toml", "--out", b"o\xfe")
    assert code == 0, text
    for command in ("status", "resume"):
        code, text = call(command, b"o\xfe", cwd=tmp_path)
        assert code == 0, text


def test_a_name_in_the_run_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    small.write(tmp_path, small.LATTICE.replace("target.xyz", LONG))
    for command in ("run", "check"):
        code, text = call(command, "case.toml", cwd=tmp_path)
        assert (code, "Traceback" in text, "file name too long" in text) == (2, False, True), text


def test_closed_folders_are_named() -> None:
    with pytest.raises(InputError, match="/root/closed: permission denied"), names_refused():
        raise PermissionError(13, "Permission denied", "/root/closed")
    with pytest.raises(OSError, match="no name"), names_refused():
        raise OSError("no name: not about a file that the user gave")


def test_a_target_of_the_folder_that_the_run_begins_in(tmp_path: Path) -> None:
    """The copy of the inputs does not take in itself, nor files that nothing reads."""
    fitsnap = {
        "PositionsStyle": "angstrom",
        "AtomTypeStyle": "chemicalsymbol",
        "Lattice": [[3.75, 0, 0], [0, 3.75, 0], [0, 0, 3.75]],
        "AtomTypes": ["Au", "Cu", "Cu", "Cu"],
        "Positions": [[0, 0, 0], [0, 1.875, 1.875], [1.875, 0, 1.875], [1.875, 1.875, 0]],
        "NumAtoms": 4,
    }
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "one.json").write_text(json.dumps({"Dataset": {"Data": [fitsnap]}}))
    text = small.LATTICE.replace('"target.xyz"', '"."').replace("generations = 12", "generations = 0")
    result = run(small.write(tmp_path, text), quiet=True)
    inputs = result.folder / "inputs"
    (copied,) = (path for path in inputs.rglob("*") if path.is_file())
    assert copied.parts[-2:] == ("group", "one.json")


@pytest.mark.parametrize("empty", [True, False])
def test_a_link_as_run_folder_is_refused_before_the_set_up(tmp_path: Path, empty: bool) -> None:
    if empty:
        (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with pytest.raises(InputError, match="link: is a link; --out must be a new or empty folder"):
        check_free(tmp_path / "link")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = small.LATTICE.replace("generations = 12", "generations = 1")
    return run(small.write(tmp_path_factory.mktemp("made"), text), quiet=True).folder


@pytest.fixture
def finished(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "case"))


def test_folders_with_names_of_leftovers_are_left_alone(finished: Path) -> None:
    (finished / ".x.part").mkdir()
    (finished / "failed_rank_0.txt").mkdir()
    (finished / ".y.part").write_text("half")
    clear_partial(existing(finished))
    assert (finished / ".x.part").is_dir()
    assert not (finished / ".y.part").exists()
    assert status(finished)["state"] == "finished"


@pytest.mark.parametrize(
    "content",
    [
        b"[]",
        b"3",
        b'"text"',
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"state": "running"}',
        b'{"state": 3, "best": [], "islands": {}}',
    ],
)
def test_a_status_that_is_none_is_passed_over(finished: Path, content: bytes) -> None:
    (finished / "status.json").write_bytes(content)
    assert "interrupted" in text_of(status(finished))


def test_a_report_takes_no_other_file_s_place(finished: Path) -> None:
    before = (finished / "archive.h5").read_bytes()
    code, said = call("report", finished, "-o", finished / "archive.h5", cwd=finished)
    assert (code, said) == (
        2,
        f"grs-evo: {finished / 'archive.h5'}: is there and no page; give a name that ends in .html\n",
    )
    assert (finished / "archive.h5").read_bytes() == before


def test_a_run_is_no_structure_file(finished: Path) -> None:
    for place, words in (
        (finished, f"{finished}: is a run folder; grs-evo export {finished} -o cells.extxyz writes"),
        (finished / "archive.h5", "is an HDF5 file, as archives and targets are; grs-evo export"),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            read_structures(place, ["Cu"])


def test_a_status_with_a_part_of_another_kind_is_passed_over(finished: Path) -> None:
    whole = json.loads((finished / "status.json").read_text())
    for name in ("state", "seconds", "best", "islands", "checkpoints", "evaluations"):
        for odd in (None, [], "x", {"saved": "x"}, [3], [{"island": 0}]):
            if type(odd) is type(whole[name]) and not odd:
                continue
            (finished / "status.json").write_text(json.dumps({**whole, name: odd}))
            assert text_of(status(finished))


def test_a_density_beyond_all_bounds_is_told_in_a_short_line() -> None:
    with pytest.raises(InputError, match=r"would fill .*e\+\d+ of the volume at") as caught:
        bind(CandidateOptions(kind="random", sizes=(8, 8), min_distance=2.0, number_density=1e300), ("Cu",), [])
    assert len(str(caught.value)) < 250
