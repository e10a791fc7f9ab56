"""Compile what runs need into the cache folder, before there is one; several processes share the work.

Each process goes over all kinds of runs, from another one on, and what somebody else compiles is waited for and loaded
(`kernels.compiling`): so who has been over all of them knows that all is there, and nobody sends messages.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from grs_evo.descriptors.describe import stream_descriptors
from grs_evo.driver.ahead.kinds import KINDS
from grs_evo.driver.chosen.decided import decided
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.setup import make_problem, make_target_data, rehearse
from grs_evo.errors import InputError, nearest
from grs_evo.kernels import CACHE_FOLDER, processor
from grs_evo.kernels.compiling import METER
from grs_evo.parallel.communicator import started_by
from grs_evo.targets.chunks import cores
from grs_evo.text import counted, duration


def warm_up(kinds: Sequence[str] = (), *, share: int | None = None, say: Callable[[str], None] = print) -> None:
    """Compile what some kinds of runs need, or all; what is in the cache already takes no time.

    Parameters
    ----------
    kinds : names of `KINDS`; default: all but those that are compiled only where they are named
    share : the number of this process where others do the same at the same time; default: what the launcher says, and
        without a launcher other processes are started, one per core
    say : is told what was done, in lines

    Raises
    ------
    InputError
        A kind that there is not; no folder that can be written.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"warm-up: {kind!r} is no kind of run{nearest(kind, KINDS)}: {', '.join(KINDS)}")
    if CACHE_FOLDER is None:
        raise InputError("warm-up: no folder for compiled code can be written; NUMBA_CACHE_DIR names another")
    launched = started_by()
    wanted = [name for name, kind in KINDS.items() if name in kinds or not (kinds or kind.by_name)]
    first = launched.which if share is None else share
    begun = time.monotonic()
    with ExitStack() as leaving:
        if share is None and launched.n_processes == 1:
            for number in range(1, min(cores(), len(wanted))):
                command = [sys.executable, "-m", "grs_evo", "warm-up", "--share", str(number), *wanted]
                helper = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                leaving.callback(helper.wait)
        if first == 0:
            say(f"for {processor()['cpu']}, into {CACHE_FOLDER}")
        for k in range(len(wanted)):
            kind = wanted[(k + first) % len(wanted)]
            functions, before = METER.functions, time.monotonic()
            _compile(kind)
            if first == 0:
                made = METER.functions - functions
                did = f"compiled {counted(made, 'function')}" if made else "nothing to compile"
                say(f"{kind:<10} {did}, {duration(time.monotonic() - before)}")
    if first == 0:
        say(f"all of it is there, after {duration(time.monotonic() - begun)}")


def _compile(kind: str) -> None:
    """A small generation of a kind of run."""
    with tempfile.TemporaryDirectory(prefix="grs-evo-") as name:
        folder = Path(name)
        (folder / "target.xyz").write_text(KINDS[kind].target)
        given = parse(KINDS[kind].run_file, f"warm-up {kind}")
        target_data = make_target_data(given, folder)
        if kind == "large":
            structure = target_data.structures[0]
            for threads in (1, 2):
                for _ in stream_descriptors(structure, target_data.basis, 2, threads=threads):
                    pass
            return
        given, _ = decided(given, target_data)
        rehearse(make_problem(given, target_data, folder))
