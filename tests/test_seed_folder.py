"""Files dropped into seeds/: whatever lies there, the structures of sound ones enter and nothing ends the run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import small

from grs_evo.errors import StorageError
from grs_evo.storage.seed_folder import SeedFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "seeds"
    path.mkdir()
    return path


def _seeds(folder: Path, lines: list[str], check: Callable[[], None] = lambda: None) -> SeedFolder:
    return SeedFolder(folder, ("Au", "Cu"), 3, lambda structure, island: None, check, lines.append)


def _look(seeds: SeedFolder, made: int) -> list[int]:
    """The islands of what enters, once files have lain for two looks."""
    seeds.take_new(0, made)
    return [island for island, _ in seeds.take_new(0, made)]


def test_seeds_go_to_each_island_in_turn_and_are_found_again(folder: Path) -> None:
    lines: list[str] = []
    seeds = _seeds(folder, lines)
    (folder / "a.xyz").write_text(small.TARGET * 2)
    (folder / "b.xyz").write_text(small.TARGET)
    assert _look(seeds, 5) == [0, 1, 1]
    assert sorted(os.listdir(folder / "taken")) == ["000001_r0_g5_a.xyz", "000002_r0_g5_b.xyz"]
    assert lines[0] == "seeds: 2 of 2 structures of a.xyz enter at generation 5"
    again = _seeds(folder, lines)
    assert [island for island, _ in again.taken(0, 5)] == [0, 1, 1]
    assert again.taken(1, 5) == again.taken(0, 6) == []


def test_a_file_that_still_grows_is_left(folder: Path) -> None:
    seeds = _seeds(folder, [])
    (folder / "a.xyz").write_text(small.TARGET[:40])
    assert seeds.take_new(0, 1) == []
    (folder / "a.xyz").write_text(small.TARGET)
    assert seeds.take_new(0, 1) == []
    assert len(seeds.take_new(0, 1)) == 1


@pytest.mark.parametrize(
    "name", ["n" * 245 + ".xyz", "ü" * 120 + ".xyz", os.fsdecode(b"\xff\xfe.xyz"), "a\nb\x1b[2J.xyz", "a b'\"$.xyz"]
)
@pytest.mark.parametrize("sound", [True, False])
def test_odd_names_are_names(folder: Path, name: str, sound: bool) -> None:
    lines: list[str] = []
    seeds = _seeds(folder, lines)
    (folder / name).write_text(small.TARGET if sound else "no structure\n")
    assert _look(seeds, 3) == ([0] if sound else [])
    (kept,) = os.listdir(folder / ("taken" if sound else "refused"))
    assert kept.isprintable()
    assert kept.endswith(".xyz")
    assert len(lines) == 1
    assert len(_seeds(folder, lines).taken(0, 3)) == sound


@pytest.mark.parametrize("inner", ["taken", "refused"])
@pytest.mark.parametrize("kind", ["structure", "junk", "dangling link"])
def test_a_file_in_place_of_an_inner_folder(folder: Path, inner: str, kind: str) -> None:
    lines: list[str] = []
    seeds = _seeds(folder, lines)
    if kind == "dangling link":
        (folder / inner).symlink_to(folder / "nowhere")
    else:
        (folder / inner).write_text(small.TARGET if kind == "structure" else "junk")
    (folder / "a.xyz").write_text(small.TARGET)
    (folder / "b.xyz").write_text("junk")
    for _ in range(3):
        seeds.take_new(0, 2)
    assert (folder / "taken").is_dir()
    assert (folder / "refused").is_dir()
    assert any(name.endswith("a.xyz") for name in os.listdir(folder / "taken"))
    assert "b.xyz" in os.listdir(folder / "refused")


def test_of_a_link_the_content_is_taken(folder: Path, tmp_path: Path) -> None:
    seeds = _seeds(folder, [])
    (tmp_path / "far.xyz").write_text(small.TARGET)
    (folder / "a.xyz").symlink_to("../far.xyz")
    assert _look(seeds, 2) == [0]
    (tmp_path / "far.xyz").unlink()
    assert len(_seeds(folder, []).taken(0, 2)) == 1
    assert not (folder / "a.xyz").is_symlink()


def test_what_is_no_file_is_left_alone(folder: Path) -> None:
    seeds = _seeds(folder, [])
    os.mkfifo(folder / "pipe.xyz")
    (folder / "inner").mkdir()
    (folder / "dangling.xyz").symlink_to("nowhere")
    (folder / "loop.xyz").symlink_to("loop.xyz")
    (folder / ".hidden.xyz").write_text(small.TARGET)
    assert _look(seeds, 1) == []
    assert not (folder / "taken").exists()


def test_junk_in_taken_is_left_out_and_told_once(folder: Path) -> None:
    lines: list[str] = []
    (folder / "taken" / "000002_r0_g4_folder").mkdir(parents=True)
    (folder / "taken" / "000001_r0_g4_junk.xyz").write_text("junk")
    (folder / "taken" / "readme").write_text("junk")
    os.mkfifo(folder / "taken" / "000003_r0_g4_pipe")
    (folder / "taken" / "000009_r0_g4_sound.xyz").write_text(small.TARGET)
    seeds = _seeds(folder, lines)
    for _ in range(2):
        assert [island for island, _ in seeds.taken(0, 4)] == [2]
    assert [line.partition(":")[0] for line in lines] == ["seed left out"]


def test_any_error_of_a_reader_is_a_refusal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("inner")

    monkeypatch.setattr("grs_evo.storage.seed_folder.read_structures", broken)
    lines: list[str] = []
    (folder / "a.xyz").write_text(small.TARGET)
    assert _look(_seeds(folder, lines), 1) == []
    assert "KeyError" in lines[0]


def test_what_cannot_be_moved_is_told_once_and_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    lines: list[str] = []
    seeds = _seeds(folder, lines)
    (folder / "a.xyz").write_text(small.TARGET)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        assert _look(seeds, 1) == _look(seeds, 2) == []
    assert len(lines) == 1
    assert "No space left" in lines[0]
    (folder / "a.xyz").write_text(small.TARGET * 2)  # another file, another try
    assert _look(seeds, 3) == [0, 1]


def test_a_folder_that_is_another_process_s_ends_it(folder: Path) -> None:
    def lost() -> None:
        raise StorageError("another process has taken this run over")

    (folder / "a.xyz").write_text(small.TARGET)
    with pytest.raises(StorageError):
        _look(_seeds(folder, [], lost), 1)
    assert (folder / "a.xyz").exists()
