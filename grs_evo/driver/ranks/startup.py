"""What rank 0 sends to the others before they begin, and between rounds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.driver.config.run_file import RunFile, parse
from grs_evo.driver.config.toml import to_toml
from grs_evo.driver.ranks import distributed_target
from grs_evo.driver.ranks.held_states import HeldStates
from grs_evo.errors import RankExit
from grs_evo.parallel.communicator import World, wait
from grs_evo.parallel.endings import LEAVE
from grs_evo.parallel.messages import Tag, array_text, decode, encode, numbers, text_array
from grs_evo.storage import checkpoint
from grs_evo.storage.run_folder import Folder, can_write
from grs_evo.storage.target_file import TargetData
from grs_evo.structures.structure import Structure, pack_structures, unpack_structures

# Runs of so many islands, on so many ranks, have checkpoints in shards.
SHARDED_ISLANDS, SHARDED_RANKS = 32, 2


@dataclass(frozen=True, eq=False)
class Start:
    """What every rank needs to begin or to go on."""

    run: RunFile
    target_data: TargetData
    folder: Path
    point: checkpoint.Checkpoint | None  # None: from the beginning
    owner: NDArray[np.int32]  # (n_islands,) the rank that each island has at first
    token: str = ""  # of the run folder's owner
    seeds: Mapping[int, Sequence[tuple[int, Structure]]] = field(default_factory=dict)  # due again after a resume
    shared: bool = False  # whether each rank writes its own islands beside the checkpoints
    held: HeldStates | None = None  # on rank 0, the states of the checkpoint's islands, as `HeldStates.read` left them
    states: Mapping[int, checkpoint.Arrays] = field(default_factory=dict)  # of own islands, when resuming


def broadcast(world: World, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Rank 0: the same arrays to every other rank, when no other messages are under way."""
    if world.size > 1:
        world.post_all(Tag.SHARE, encode(arrays))
        world.settle(lambda *_: None)


def receive(world: World, held: HeldStates | None = None) -> dict[str, NDArray[Any]]:
    """Other ranks: wait for what rank 0 broadcasts.

    Parameters
    ----------
    held : what this rank reads of a checkpoint, should rank 0 ask for it meanwhile

    Raises
    ------
    RankExit
        Rank 0 found the input wrong, or cannot write.
    """
    got: list[NDArray[np.uint8]] = []

    def serve() -> None:
        for _, tag, block in world.arrived():
            if tag == Tag.EXIT:
                world.settle(lambda *_: None, seconds=LEAVE)
                raise RankExit(int(decode(block)["numbers"][0]))
            if tag == Tag.JOB:
                distributed_target.work(world, block, serve)
            elif held is not None and tag in (Tag.READ, Tag.TELL, Tag.TOLD):
                held.serve(tag, block)
            else:
                got.append(block)

    wait(lambda: bool(got), serve)
    world.settle(lambda *_: None)
    return decode(got[0])


def send_start(world: World, start: Start) -> Start:
    """Rank 0: hand what `prepare` found to the other ranks; of a checkpoint each gets its own islands only.

    Returns
    -------
    With this rank's islands, and whether all ranks see the folder.
    """
    if world.size > 1:
        _broadcast_start(world, start)
    start = replace(start, shared=is_large(world, start) and folder_is_shared(world, start))
    if start.point is None or start.held is None:
        return start
    return replace(start, point=replace(start.point, states=[]), states=start.held.hand_out(start.owner))


def _broadcast_start(world: World, start: Start) -> None:
    seeds = [(made, k, structure) for made, entries in start.seeds.items() for k, structure in entries]
    broadcast(
        world,
        {
            "run": text_array(to_toml(start.run)),
            "folder": np.frombuffer(os.fsencode(start.folder), np.uint8),
            "target": np.frombuffer(start.target_data.to_bytes(), np.uint8),
            "owner": start.owner,
            "token": text_array(start.token),
            **_packed(start.point),
            "seeds_made": np.array([made for made, _, _ in seeds], np.int64),
            "seeds_island": np.array([k for _, k, _ in seeds], np.int64),
            **pack_structures([structure for _, _, structure in seeds]),
        },
    )


def receive_start(world: World) -> Start:
    """Other ranks: what `send_start` sends; until it comes, they help rank 0 to prepare."""
    held = HeldStates(world)
    arrays = receive(world, held)
    seeds: dict[int, list[tuple[int, Structure]]] = {}
    kept = zip(arrays["seeds_made"].tolist(), arrays["seeds_island"].tolist(), unpack_structures(arrays), strict=True)
    for made, k, structure in kept:
        seeds.setdefault(made, []).append((k, structure))
    start = Start(
        parse(array_text(arrays["run"]), "run file of rank 0"),
        TargetData.from_bytes(arrays["target"].tobytes()),
        Path(os.fsdecode(arrays["folder"].tobytes())),
        None,
        arrays["owner"],
        array_text(arrays["token"]),
        seeds,
    )
    start = replace(start, shared=is_large(world, start) and folder_is_shared(world, start))
    if "point" not in arrays:
        return start
    return replace(start, point=_point_of(arrays), states=held.hand_out(start.owner))


def _packed(point: checkpoint.Checkpoint | None) -> checkpoint.Arrays:
    """What other ranks than 0 need of a checkpoint beside the states of islands."""
    if point is None:
        return {}
    return {
        "point": np.array([point.step, point.round, point.generation], np.int64),
        "point.decision": point.decision,
        "point.extra": text_array(json.dumps(point.extra)),
        **{f"point.set.{name}": column for name, column in point.set.items()},
    }


def _point_of(arrays: Mapping[str, NDArray[Any]]) -> checkpoint.Checkpoint:
    step, round_, generation = arrays["point"].tolist()
    return checkpoint.Checkpoint(
        step=step,
        round=round_,
        generation=generation,
        decision=arrays["point.decision"],
        states=[],
        set={name[10:]: column for name, column in arrays.items() if name.startswith("point.set.")},
        past=np.empty((0, 0)),
        seconds=0.0,
        fingerprint={},
        run_file="",
        extra=json.loads(array_text(arrays["point.extra"])),
    )


def is_large(world: World, start: Start) -> bool:
    """Whether each rank should write its own islands.

    What joins a set is judged on rank 0, from the states at the end of a round; it then writes them as well.
    """
    return len(start.owner) >= SHARDED_ISLANDS and world.size >= SHARDED_RANKS and not start.run.set.rounds


def folder_is_shared(world: World, start: Start) -> bool:
    """Whether each rank can write into the run folder, which rank 0 has made; all ranks ask this together."""
    if world.size == 1:
        return True
    found: list[int] = []
    if world.rank != 0:
        world.post(0, Tag.SHARE, numbers(int(can_write(Folder(start.folder), start.token))))
    world.settle(lambda _source, _tag, block: found.append(int(decode(block)["numbers"][0])))
    if world.rank != 0:
        return bool(receive(world)["shared"][0])
    broadcast(world, {"shared": np.array([all(found)])})
    return all(found)
