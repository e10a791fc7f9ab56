"""Which tests run by default, in which order, and where the programs they start find the package."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Files in the order in which they should begin, then all others by name. Three workers take file after file
# (pytest-xdist, --dist loadfile; a third one uses the two cores while others wait for processes that they started), so
# the order decides how long one of them is alone at the end, and which of them wait for what another one compiles:
# first files that compile different kernels, then the longest ones, of which those that start many processes find
# everything compiled.
FIRST = (
    "test_loss_lattice.py",
    "test_potential_relaxation.py",
    "test_torture.py",
    "test_mpi.py",
    "test_start_signals.py",
    "test_runs.py",
    "test_faults.py",
    "test_scaling.py",
    "test_pinned_runs.py",
    "test_resume.py",
    "test_report.py",
    "test_loss_terms.py",
    "test_pinned_texts.py",
    "test_molecules.py",
    "test_no_silent_nonsense.py",
)
ROOT = Path(__file__).parents[1]
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


def pytest_configure() -> None:
    """Programs that tests start use the package beside these tests, as the tests themselves do, and one thread each.

    Besides being the one that is meant, it shares its compiled kernels with the tests: Numba keeps those of an
    installed copy apart, so they would all be compiled a second time. They keep the bytecode of its modules, whatever
    the environment says: some hundred processes would each compile them again, at 0.5 s of processor time.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Workers are the parallelism, as ranks are of the command line; a quarter of the time of a run in a test went into
    # threads for products of small matrices. tests/test_pinned_runs.py has more of them.
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    path = os.environ.get("PYTHONPATH", "")
    if str(ROOT) not in path.split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([path] if path else [])])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "torture" not in str(config.option.markexpr):
        dropped = [item for item in items if "torture" in item.keywords]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = [item for item in items if "torture" not in item.keywords]
    place = {name: k for k, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(FIRST)))


def pytest_collection_finish() -> None:
    """What has been imported and collected stays: it is not looked through for garbage again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def pytest_unconfigure() -> None:
    gc.freeze()  # nor at the end


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A temporary folder of its own for each test that starts a launcher (fixtures of wider scope included).

    Open MPI's launcher keeps a session folder named by its process number and leaves it behind when it is killed. A
    later launcher that gets the number again ends with "The PMIx server's listener thread failed to start". The folder
    is short, for the sockets in it.
    """
    if item.get_closest_marker("mpi") is None:
        return (yield)
    before, own = os.environ.get("TMPDIR"), tempfile.mkdtemp(prefix="mpi", dir=tempfile.gettempdir())
    os.environ["TMPDIR"] = own
    try:
        return (yield)
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
        shutil.rmtree(own, ignore_errors=True)
