"""What a run file's [plugins] callbacks name: something that is told how far a run has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Callback:
    """Called on rank 0 after every generation, with a `grs_evo.driver.monitor.status_file.Progress`.

    It looks and tells; what it returns has no effect, and the run's answer is the same without it.
    """

    name: str
    call: Callable[[Any], Any]
