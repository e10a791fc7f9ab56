"""Where the time of a rank goes: every second belongs to one part, the innermost one under way."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

# advance: making generations; wait: sleeping until others have come as far; post: taking messages and, on rank 0,
# decisions, status and progress; pack: statistics, emigrants and states on their way out; save: checkpoints and
# archive (rank 0); rest: everything else of a round
PARTS = ("advance", "wait", "post", "pack", "save", "rest")
COLUMNS = (*PARTS, "cpu", "advance_cpu", "peak_memory")


class PartClock:
    """Seconds of one rank by part, since it was made."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._part = "rest"
        self._since = time.perf_counter()
        self._begun = self._cpu_since = time.process_time()
        self.advance_cpu = 0.0  # s of processor time that went into "advance", up to when its block ended

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Time until the end of the block belongs to `part`, but for blocks within it."""
        outer = self._switch(part)
        try:
            yield
        finally:
            self._switch(outer)

    def _switch(self, part: str) -> str:
        now, cpu = time.perf_counter(), time.process_time()
        outer = self._part
        self._seconds[outer] += now - self._since
        if outer == "advance":
            self.advance_cpu += cpu - self._cpu_since
        self._part, self._since, self._cpu_since = part, now, cpu
        return outer

    def to_array(self) -> NDArray[np.float64]:
        """(9,) as COLUMNS: s of each part, s of processor time in all and advancing, MB of peak memory."""
        self._switch(self._part)
        cpu = self._cpu_since - self._begun
        return np.array([*self._seconds.values(), cpu, self.advance_cpu, peak_memory()])


def peak_memory() -> float:
    """The largest resident size of this process so far, in MB; NaN where the system does not tell."""
    try:
        import resource
    except ImportError:
        return float("nan")
    unit = 1.0 if sys.platform == "darwin" else 1024.0  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
