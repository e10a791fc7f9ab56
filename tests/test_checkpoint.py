"""Checkpoints: the newest whole one is found, and none that makes no sense is gone on from."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fleet import ThreadWorld
from hdf5_files import changed, replaced, set_value

from grs_evo.driver.ranks.held_states import HeldStates
from grs_evo.driver.ranks.startup import broadcast, receive
from grs_evo.errors import InputError, StorageError
from grs_evo.search.population.archive import ArchiveOptions, all_that_may_stay
from grs_evo.search.population.individual import unpack_of
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


def _sharded(folder: Path, step: int, keep: int = 2) -> Checkpoint:
    """The content of the stored checkpoint, as three ranks would write it; returns what was to be saved."""
    point = Checkpoint.from_bytes(STORED.read_bytes())
    states = (point.states * 3)[:5]
    parts = [{4: states[4], 1: states[1]}, {0: states[0]}, {2: states[2], 3: states[3]}]
    shards = tuple(checkpoint.save_shard(step, part, folder, lambda: None) for part in parts)
    checkpoint.save(replace(point, step=step, states=[], shards=shards), folder, keep, lambda: None)
    return replace(point, step=step, states=states)


def _whole(point: Checkpoint, folder: Path) -> Checkpoint:
    """With the states of its shards."""
    states = dict(checkpoint.states_of(point, folder))
    return replace(point, states=[states[island] for island in range(len(states))], shards=())


def _names(folder: Path, step: int) -> list[str]:
    return sorted(path.name for path in folder.glob(f"shard_{step:08d}_*.h5"))


def test_shards_are_read_as_one_file_would_be(tmp_path: Path) -> None:
    saved = _sharded(tmp_path, 20)
    found = checkpoint.newest(tmp_path, print)
    assert found is not None
    assert _whole(found, tmp_path).to_bytes() == saved.to_bytes()
    assert [k for k, _ in checkpoint.states_of(found, tmp_path, {1, 2})] == [1, 2]
    (tmp_path / found.shards[1].name).unlink()  # of island 0
    assert len(list(checkpoint.states_of(found, tmp_path, {1, 2, 3, 4}))) == 4
    assert checkpoint.files(tmp_path)[0].stat().st_size < len(saved.to_bytes()) / 2


def test_old_shards_are_removed_with_their_checkpoint(tmp_path: Path) -> None:
    for step in (20, 21):
        _sharded(tmp_path, step)
    first, (lost, *_) = _names(tmp_path, 20), _names(tmp_path, 21)
    (tmp_path / lost.replace("00000021", "00000022")).write_bytes(b"of the next save, which another rank has begun")
    _sharded(tmp_path, 21)  # once more, as after a resume from step 20
    assert _names(tmp_path, 20) == first
    assert len(_names(tmp_path, 21)) == 3
    assert lost not in _names(tmp_path, 21)
    assert len(_names(tmp_path, 22)) == 1
    _sharded(tmp_path, 30)
    assert _names(tmp_path, 22) == []
    assert (_names(tmp_path, 20), len(_names(tmp_path, 21)), len(_names(tmp_path, 30))) == ([], 3, 3)
    point = checkpoint.newest(tmp_path, print)
    assert point is not None
    checkpoint.save(replace(point, step=31), tmp_path, 2, lambda: None)  # one file again
    assert (_names(tmp_path, 21), len(_names(tmp_path, 30))) == ([], 3)


SHARD_FAULTS: dict[str, Callable[[Path], object]] = {
    "cannot be read": lambda path: path.unlink(),
    "another checksum": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "than it was written with": lambda path: shutil.copy(next(path.parent.glob("shard_00000020_*")), path),
}


@pytest.mark.parametrize("words", SHARD_FAULTS)
def test_a_checkpoint_is_whole_only_with_its_shards(tmp_path: Path, words: str) -> None:
    saved = _sharded(tmp_path, 20)
    _sharded(tmp_path, 21)
    SHARD_FAULTS[words](tmp_path / _names(tmp_path, 21)[1])
    told: list[str] = []
    found = checkpoint.newest(tmp_path, told.append)
    assert found is not None
    assert _whole(found, tmp_path).to_bytes() == saved.to_bytes()
    assert len(told) == 1
    assert words in told[0]
    assert "shard_00000021_" in told[0]


@pytest.mark.parametrize("blind", [None, 1, 2])
def test_each_shard_is_read_by_one_rank_and_its_islands_go_to_their_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blind: int | None
) -> None:
    """What one rank cannot read, rank 0 reads in its place."""
    saved = _sharded(tmp_path, 20)
    names = _names(tmp_path, 20)
    real, reads = checkpoint.read_shard, []

    def read(shard: checkpoint.Shard, step: int, folder: Path) -> dict:
        rank = threading.current_thread().name
        reads.append((shard.name, rank))
        if rank == str(blind):
            raise OSError("does not see the folder")
        return real(shard, step, folder)

    monkeypatch.setattr(checkpoint, "read_shard", read)
    worlds, owner, got = ThreadWorld.all(3), np.array([2, 0, 1, 1, 2], np.int32), {}

    def other(world: ThreadWorld) -> None:
        held = HeldStates(world)  # type: ignore[arg-type]
        got[world.rank] = held.hand_out(receive(world, held)["owner"])  # type: ignore[arg-type]

    threads = [threading.Thread(target=other, args=[one], name=str(one.rank), daemon=True) for one in worlds[1:]]
    for thread in threads:
        thread.start()
    held = HeldStates(worlds[0])  # type: ignore[arg-type]
    point = checkpoint.newest(tmp_path, print, held.read)
    assert point is not None
    (n_stats,) = saved.states[0]["history"][-1].shape
    options = ArchiveOptions(objectives=("value",))
    terms = [f"term {k}" for k in range(saved.states[0]["archive.terms"].shape[1])]
    rows, archive = held.known(options, terms, n_stats)
    broadcast(worlds[0], {"owner": owner})  # type: ignore[arg-type]
    got[0] = held.hand_out(owner)
    for thread in threads:
        thread.join(20)
    for island, state in enumerate(saved.states):
        mine = got[owner[island]].pop(island)
        assert all(np.array_equal(mine[name], array) for name, array in state.items())
        assert np.array_equal(rows[island], state["history"][-1])
    assert not any(got.values())
    expected = all_that_may_stay([one for k in saved.states for one in unpack_of(k, "archive")], options, terms)
    assert [one.uid for one in archive] == [one.uid for one in expected]
    assert sorted(name for name, _ in reads) == sorted([*names, *([point.shards[blind].name] if blind else [])])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"islands": (0, 1)}, "each island once"),
        ({"islands": (7,)}, "each island once"),
        ({"name": "../shard_00000021_" + 32 * "0" + ".h5"}, "shards that are none"),
    ],
)
def test_shards_that_make_no_sense_are_passed_over(tmp_path: Path, changes: dict, words: str) -> None:
    _sharded(tmp_path, 20)
    point = Checkpoint.from_bytes(STORED.read_bytes())
    shards = [checkpoint.save_shard(21, {k: point.states[0]}, tmp_path, lambda: None) for k in (0, 1)]
    shards[1] = replace(shards[1], **changes)
    checkpoint.save(replace(point, step=21, states=[], shards=tuple(shards)), tmp_path, 2, lambda: None)
    told: list[str] = []
    found = checkpoint.newest(tmp_path, told.append)
    assert found is not None
    assert found.step == 20
    assert words in told[0]


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
