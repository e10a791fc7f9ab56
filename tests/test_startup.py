"""What rank 0 sends before a round arrives as it was."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import small
from pinned_files import STOPPED
from test_communicator import DeadPeers

from grs_evo.driver.config.run_file import parse
from grs_evo.driver.ranks import startup
from grs_evo.driver.ranks.held_states import HeldStates
from grs_evo.driver.setup import make_target_data
from grs_evo.parallel.communicator import Launcher, World
from grs_evo.parallel.messages import Tag
from grs_evo.storage import checkpoint


def _arrived(start: startup.Start) -> startup.Start:
    """`start` as rank 1 of two gets it."""
    sent: list[tuple[int, np.ndarray]] = []
    first = World(DeadPeers(0, [], settled=9), launcher=Launcher())
    first.post = lambda dest, tag, block: sent.append((tag, block))  # type: ignore[method-assign]
    if start.held is not None:
        start.held.world = first
    startup.send_start(first, start)
    assert {tag for tag, _ in sent} <= {Tag.SHARE, Tag.ISLAND}
    return startup.receive_start(_Later(sent))


class _Later(World):
    """Rank 1, which gets one message at a time."""

    def __init__(self, sent: list[tuple[int, np.ndarray]]) -> None:
        super().__init__(DeadPeers(1, []), launcher=Launcher())
        self._sent = sent
        self._settled = 0

    def arrived(self) -> list[tuple[int, int, np.ndarray]]:
        return [(0, *self._sent.pop(0))] if self._sent else []

    def settle(self, take: Callable[..., None], seconds: float | None = None) -> bool:
        self._settled += 1
        while self._settled > 1 and self._sent:  # the first time they are of the start itself
            take(0, *self._sent.pop(0))
        return True


def test_a_start_from_the_beginning(tmp_path: Path) -> None:
    run = parse(small.write(tmp_path).read_text(), "case")
    data = make_target_data(run, tmp_path)
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))  # a name that is no text
    got = _arrived(startup.Start(run, data, folder, None, np.array([1, 0, 1, 1, 0], np.int32)))
    assert (got.run, got.folder, got.point, got.seeds) == (run, folder, None, {})
    assert got.owner.tolist() == [1, 0, 1, 1, 0]
    for name, array in data.target.to_arrays().items():
        assert np.array_equal(got.target_data.target.to_arrays()[name], array)


def test_a_resumed_start_has_own_islands_and_due_seeds(tmp_path: Path) -> None:
    run = parse(small.write(tmp_path).read_text(), "case")
    data = make_target_data(run, tmp_path)
    held = HeldStates(World())
    point = checkpoint.newest(STOPPED / "checkpoints", print, held.read)
    assert point is not None
    structure = data.structures[0]
    owner = np.arange(len(point.states), dtype=np.int32) % 2
    got = _arrived(
        startup.Start(
            run,
            data,
            tmp_path,
            point,
            owner,
            "token",
            {7: [(1, structure), (0, structure)], 8: [(2, structure)]},
            held=held,
        )
    )
    assert got.point is not None
    assert (got.token, got.shared, sorted(got.states)) == ("token", False, [*range(1, len(point.states), 2)])
    for k, mine in got.states.items():
        assert all(np.array_equal(mine[name], point.states[k][name]) for name in mine)
    assert {made: [k for k, _ in entries] for made, entries in got.seeds.items()} == {7: [1, 0], 8: [2]}
    assert np.array_equal(got.seeds[8][0][1].positions, structure.positions)
