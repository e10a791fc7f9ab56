"""How kernels are compiled: parts and entry points, tuples by address, one process at a time; `grs-evo warm-up`."""

from __future__ import annotations

import gc
import io
import pickle
import threading
import time
from typing import NamedTuple

import numpy as np
import pytest
from ase.io import read
from numba import config, njit, typeof
from numpy.typing import NDArray

from grs_evo.cli import commands
from grs_evo.driver.ahead.kinds import KINDS
from grs_evo.driver.ahead.warm_up import warm_up
from grs_evo.driver.monitor import console
from grs_evo.errors import InputError
from grs_evo.kernels.bundles import bundle
from grs_evo.kernels.compiling import METER, entry_locked, inner, probe
from grs_evo.search.candidates.disordered.networks import find_network
from grs_evo.structures.structure import from_atoms

compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="nothing is compiled")


@bundle
class Inside(NamedTuple):
    scale: float
    on: bool


@bundle
class Fields(NamedTuple):
    matrix: NDArray[np.float64]
    count: int
    inside: Inside
    nothing: None
    row: NDArray[np.int32]


def fields(matrix):
    return Fields(matrix, -3, Inside(0.5, True), None, np.arange(4, dtype=np.int32))


@inner
def weighed(given, k):
    return given.inside.scale * given.row[k] if given.inside.on else 0.0


@inner
def total_of(given):
    total = 0.0
    for i in range(given.matrix.shape[0]):
        for k in range(given.matrix.shape[1]):
            total += given.matrix[i, k]
    return total + weighed(given, 3) + given.count


@entry_locked
def doubled(x):
    return 2.0 * x


@probe
def change(given, value):
    given.matrix[1, 0] = value
    return total_of(given)


def test_a_bundle_is_read_and_written_where_it_is():
    for order in ("C", "F"):
        matrix = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], order=order)
        assert change(fields(matrix), 10.0) == 1 + 2 + 3 + 10 + 5 + 6 + 0.5 * 3 - 3
        assert matrix[1, 0] == 10.0
        assert change(fields(matrix[:, ::2]), 0.0) == 1 + 3 + 0 + 6 + 0.5 * 3 - 3
    assert change(fields(np.zeros((2, 1)))._replace(inside=Inside(0.5, False)), 0.0) == -3


@probe
def subscripts(line, table, marks, k, unsigned):
    table[-1, k] = line[-2] + line[unsigned]
    table[0, 1] = k
    marks[k - 2] = table[1, -1] > 0.0
    line[0] += table[k, 2]
    return table[k][0] + line[marks.shape[0] - 1]


def test_subscripts_are_those_of_python():
    for order in ("C", "F"):  # Numba's own where an array is not contiguous
        line, table = np.array([1.0, 2.0, 4.0]), np.asarray(np.arange(6.0).reshape(2, 3), order=order)
        marks = np.zeros(3, np.bool_)
        assert subscripts(line, table, marks, 1, np.uint32(2)) == 3.0 + 4.0
        assert table.tolist() == [[0.0, 1.0, 2.0], [3.0, 6.0, 5.0]]
        assert marks.tolist() == [False, False, True]
        assert line[0] == 1.0 + 5.0


@compiled
def test_types_of_bundles_tell_fields_of_different_kinds_apart():
    one, other = fields(np.zeros((2, 2))), fields(np.zeros((2, 2), np.float32))
    assert typeof(one) == typeof(fields(np.ones((5, 1))))
    assert typeof(one) != typeof(other)
    assert pickle.loads(pickle.dumps(typeof(one))) == typeof(one)


def test_a_copied_bundle_does_not_keep_addresses():
    one = fields(np.ones((2, 2)))
    change(one, 2.0)
    copied = pickle.loads(pickle.dumps(one))
    change(copied, 7.0)
    assert one.matrix[1, 0] == 2.0
    assert copied.matrix[1, 0] == 7.0


@compiled
def test_parts_are_for_entry_points_alone():
    @njit
    def outside(given):
        return total_of(given)

    with pytest.raises(RuntimeError, match="part of a kernel"):
        outside(fields(np.zeros((1, 1))))


@compiled
def test_who_is_second_waits_and_loads():
    fcntl = pytest.importorskip("fcntl")
    cache = doubled._cache
    doubled(1.0)
    made = METER.functions
    doubled._reset_overloads()
    cache.flush()
    with open(f"{cache.cache_path}/{cache._impl.filename_base}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        other.start()
        begun = time.monotonic()
        assert doubled(2.0) == 4.0
        assert time.monotonic() - begun >= 0.2
        other.join()
    assert METER.functions == made + 1
    assert gc.isenabled()
    doubled._reset_overloads()
    assert doubled(3.0) == 6.0
    assert METER.functions == made + 1  # it was there


def test_the_screen_says_that_something_is_compiled_only_where_it_is(monkeypatch, capsys):
    monkeypatch.setattr(console, "_SILENCE", -1.0)
    reporter = console.Reporter(progress="lines")
    with console.announcing_long_setup(reporter):
        pass
    assert "compiled" not in capsys.readouterr().err
    with console.announcing_long_setup(reporter):
        monkeypatch.setattr(METER, "functions", METER.functions + 2)
        monkeypatch.setattr(METER, "seconds", METER.seconds + 3.0)
    assert "of which 2 functions compiled in 3.0 s" in " ".join(capsys.readouterr().err.split())


def test_each_kind_of_warm_up_is_the_run_that_it_is_called_after():
    text = commands.warm_up.help or ""
    assert f"KINDS: {' '.join(KINDS)};" in " ".join(text.split())
    atoms = read(io.StringIO(KINDS["networks"].target), format="extxyz")
    assert find_network([from_atoms(atoms, ("Si",))], ("Si",)).network is not None


def test_warm_up_compiles_what_is_not_there_and_says_so():
    lines: list[str] = []
    warm_up(["large"], share=0, say=lines.append)
    assert "into" in lines[0]
    again: list[str] = []
    warm_up(["large"], share=0, say=again.append)
    assert again[1].startswith("large      nothing to compile")
    with pytest.raises(InputError, match="did you mean 'lattice'"):
        warm_up(["latice"])
