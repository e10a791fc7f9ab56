"""A large target, described by ranks that are threads, is that of one rank bit for bit."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import small
from fleet import ThreadWorld

from grs_evo.driver.config.run_file import parse
from grs_evo.driver.ranks import distributed_target
from grs_evo.driver.ranks.distributed_target import DistributedDescriber
from grs_evo.driver.setup import make_target_data
from grs_evo.errors import InputError
from grs_evo.parallel.messages import Tag, text_array
from grs_evo.structures.structure import Structure
from grs_evo.targets.chunks import Job, parts_of


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """8,788 atoms, a few blocks, and a part of the environments that counts."""
    folder = tmp_path_factory.mktemp("job")
    data = make_target_data(parse(small.write(folder).read_text(), "case"), folder)
    (cell,) = data.structures
    steps = np.stack(np.meshgrid(*3 * [np.arange(13)], indexing="ij"), -1).reshape(-1, 1, 3)
    positions = (cell.positions + steps @ cell.cell).reshape(-1, 3)
    positions += 0.05 * np.random.default_rng(1).standard_normal(positions.shape)
    structure = Structure(positions, 13 * cell.cell, np.tile(cell.species, 13**3), cell.pbc)
    return Job(structure, data.basis, "large", 1.0, True, np.array([3, 5000]), 2.0, np.arange(1, 8788, 3))


def test_the_parts_come_in_the_order_of_one_rank(job: Job) -> None:
    first, second = ThreadWorld.all(2)

    def serve() -> None:
        for _, tag, block in second.arrived():
            assert tag == Tag.JOB
            distributed_target.work(second, block, lambda: None)  # type: ignore[arg-type]
            done.set()

    done = threading.Event()

    def other() -> None:
        while not done.is_set():
            serve()

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    parts = list(DistributedDescriber(first)(job))  # type: ignore[arg-type]
    thread.join(timeout=60)
    expected = list(parts_of(job))
    assert len(parts) == len(expected) == len(job.starts)
    for one, whole in zip(parts, expected, strict=True):
        for name, array in whole.to_arrays().items():
            assert np.array_equal(one.to_arrays()[name], array), name


def test_a_structure_that_another_rank_refuses_is_refused(job: Job) -> None:
    first, second = ThreadWorld.all(2)
    second.post(0, Tag.REFUSED, text_array("large: atoms 1 and 2 overlap"))
    with pytest.raises(InputError, match="atoms 1 and 2 overlap"):
        list(DistributedDescriber(first)(job))  # type: ignore[arg-type]


def test_a_small_structure_stays_on_one_rank(job: Job, tmp_path: Path) -> None:
    (cell,) = make_target_data(parse(small.write(tmp_path).read_text(), "case"), tmp_path).structures
    first, second = ThreadWorld.all(2)
    tiny = Job(cell, job.basis, "small", 1.0, False, np.array([0]), 2.0)
    assert len(list(DistributedDescriber(first)(tiny))) == 1  # type: ignore[arg-type]
    assert second.arrived() == []
