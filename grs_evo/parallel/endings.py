"""How a rank's part of a round ends: at its last generation, by a signal or a request, or by an error.

Whichever way, the ranks leave together: rank 0 decides, and no rank returns while a message is under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grs_evo.errors import InputError, RankExit, StorageError, exit_code_of
from grs_evo.parallel.communicator import World, wait
from grs_evo.parallel.messages import Tag, encode, numbers, text_array
from grs_evo.parallel.worker import Halted, Worker

# s that ranks get to leave in good order after an error
LEAVE = 5.0


@dataclass(frozen=True)
class Ending:
    """How a rank's part of a round ended."""

    halted: bool  # interrupted, not at its end
    generation: int  # of the last state that all ranks have; -1: none
    states: Mapping[int, Any]  # own islands at that generation
    why: str = ""  # the reason to halt, as rank 0 gave it


def run_round(worker: Worker, states: Mapping[int, Any] | None = None) -> Ending:
    """Make the generations of a round, hand over what is to be saved, and leave it together with the other ranks.

    Parameters
    ----------
    states : own islands at generation `worker.plan.start`, when resuming

    Raises
    ------
    InputError
        On rank 0 alone: the run file asks for something that cannot be done (other ranks raise `RankExit`).
    StorageError
        On rank 0 alone: a checkpoint or the archive cannot be written.
    """
    world = worker.world
    try:
        try:
            if states is not None:
                worker.take_up(states)
            worker.run_generations()
            _finish(worker)
            halted = False
        except Halted:
            _halt(worker)
            halted = True
    except (InputError, StorageError) as error:
        _report_error(worker, error)
        raise
    except RankExit:
        world.settle(lambda *_: None, seconds=LEAVE)
        raise
    world.settle(lambda *_: None)
    if worker.coordinator is not None:
        worker.coordinator.times[world.rank] = worker.clock.to_array()
    generation = worker.generation
    if halted:
        generation = -1 if worker.dump_at is None else worker.dump_at
    return Ending(halted, generation, worker.states.get(generation, {}), worker.why)


def _finish(worker: Worker) -> None:
    """The last generation is made: hand it over, and wait until rank 0 has saved it."""
    with worker.clock.on("pack"):
        worker.send_states(worker.generation)
    if worker.coordinator is None:
        with worker.clock.on("wait"):
            wait(lambda: worker.ended, worker.serve_or_halt)
        return
    coordinator = worker.coordinator
    with worker.clock.on("wait"):
        wait(lambda: coordinator.can_save(worker.generation), worker.serve_or_halt)
    with worker.clock.on("save"):
        coordinator.save_final(worker.generation)
    worker.world.post_all(Tag.END, numbers(worker.plan.round, worker.generation))


def _halt(worker: Worker) -> None:
    """Every rank gives up the generation under way; the newest one that all have is saved."""
    if worker.coordinator is None:
        worker.world.post(0, Tag.HALTED, encode(worker.halted()))
        wait(lambda: worker.dump_at is not None or worker.ended, worker.serve)
        if worker.dump_at is not None and worker.dump_at >= 0:
            worker.send_states(worker.dump_at)
        wait(lambda: worker.ended, worker.serve)
        return
    coordinator = worker.coordinator
    coordinator.take_halted(worker.world.rank, worker.generation, worker.halted())
    wait(lambda: len(coordinator.halted) == worker.world.size, worker.serve)
    common = worker.dump_at = min(coordinator.halted.values())
    worker.world.post_all(Tag.DUMP, numbers(worker.plan.round, common))
    if common >= 0:
        worker.send_states(common)
        wait(lambda: coordinator.can_save(common), worker.serve)
        coordinator.save_final(common)
    else:
        coordinator.save_first()
    worker.world.post_all(Tag.END, numbers(worker.plan.round, common))


def _report_error(worker: Worker, error: InputError | StorageError) -> None:
    """This rank cannot go on. Rank 0 makes the others leave; another rank tells rank 0 why, and waits for that."""
    if worker.coordinator is None:
        tag = Tag.ERROR if isinstance(error, InputError) else Tag.UNWRITTEN
        worker.world.post(0, tag, text_array(str(error)))
        try:
            wait(lambda: False, worker.serve)
        finally:  # by the RankExit that rank 0 sends
            worker.world.settle(lambda *_: None, seconds=LEAVE)
    end_other_ranks(worker.world, exit_code_of(error))


def end_other_ranks(world: World, code: int) -> None:
    """Rank 0: make every other rank leave with this exit code; abort them when they do not."""
    world.post_all(Tag.EXIT, numbers(code))
    if not world.settle(lambda *_: None, seconds=LEAVE):
        world.abort(code)
