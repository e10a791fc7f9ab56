"""Checkpoints: the newest whole one is found, and none that makes no sense is gone on from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hdf5_files import changed, replaced, set_value

from grs_evo.errors import InputError, StorageError
from grs_evo.storage import checkpoint
from grs_evo.storage.checkpoint import Checkpoint

STORED = Path(__file__).parent / "data" / "pinned" / "checkpoint-schema-1.h5"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints of one content but for their steps, as a run leaves them."""
    (tmp_path / "c").mkdir()
    point = Checkpoint.from_bytes(STORED.read_bytes())
    for step in (point.step, point.step + 1):
        made = Checkpoint(**{**vars(point), "step": step})
        checkpoint.save(made, tmp_path / "c", keep=2, check=lambda: None)
    return tmp_path / "c"


def test_the_newest_is_taken_and_the_oldest_removed(folder: Path) -> None:
    point = checkpoint.newest(folder, lambda _: None)
    assert point is not None
    later = Checkpoint(**{**vars(point), "step": point.step + 1})
    checkpoint.save(later, folder, keep=2, check=lambda: None)
    assert [path.name for path in checkpoint.files(folder)] == [f"ckpt_{point.step + k:08d}.h5" for k in (1, 0)]
    assert checkpoint.newest(folder / "none", lambda _: None) is None


def test_a_damaged_one_is_passed_over_with_a_line(folder: Path) -> None:
    newest, older = checkpoint.files(folder)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    told: list[str] = []
    point = checkpoint.newest(folder, told.append)
    assert point is not None
    assert f"ckpt_{point.step:08d}.h5" == older.name
    assert len(told) == 1
    assert "another checksum" in told[0]
    older.write_bytes(b"")
    with pytest.raises(InputError, match="none of the 2 checkpoints is whole"):
        checkpoint.newest(folder, told.append)


def test_one_under_another_name_is_passed_over(folder: Path) -> None:
    newest, older = checkpoint.files(folder)
    shutil.copy(older, newest)
    told: list[str] = []
    assert checkpoint.newest(folder, told.append) is not None
    assert "holds step" in told[0]


BAD: dict[str, Callable[..., object]] = {
    "positions has nan": set_value("islands/population.positions", (0, 0), float("nan")),
    "n_atoms has -1": set_value("islands/archive.n_atoms", 0, -1),
    "n_atoms has 1000000000000": set_value("islands/archive.n_atoms", 0, 10**12),
    "species has 500": set_value("islands/archive.species", 0, 500),
    "value has inf": set_value("islands/population.value", 0, float("inf")),
    "islands/rng_state": replaced("islands/rng_state", np.zeros(10**6, object).astype("f8").astype("c16")),
    "terms": replaced("islands/population.terms", None),
    "verdict": replaced("verdict", None),
    "no step": lambda file: file.attrs.pop("step"),
    "recursion": lambda file: file.attrs.update(extra="[" * 60_000),
}


@pytest.mark.parametrize("words", BAD)
def test_one_that_makes_no_sense_is_passed_over(folder: Path, words: str) -> None:
    newest, older = checkpoint.files(folder)
    changed(newest, newest.with_name("copy"), BAD[words]).replace(newest)
    told: list[str] = []
    point = checkpoint.newest(folder, told.append)
    assert point is not None
    assert older.name in f"ckpt_{point.step:08d}.h5"
    assert len(told) == 1
    assert words.removeprefix("no ") in told[0]


def test_a_folder_that_cannot_be_written_is_told(folder: Path) -> None:
    point = checkpoint.newest(folder, lambda _: None)
    assert point is not None
    name = checkpoint.files(folder)[0].name
    with pytest.raises(StorageError, match=r"cannot be written.*there is no earlier checkpoint"):
        checkpoint.save(point, folder / "none", 2, lambda: None)

    def another_owner() -> None:
        raise StorageError("not yours any more")

    with pytest.raises(StorageError, match=f"not yours any more; the last whole checkpoint is {name}"):
        checkpoint.save(point, folder, 2, another_owner)
