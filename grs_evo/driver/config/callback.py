"""What a run file's [plugins] callbacks name: something that is told how far a run has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from grs_evo.plugins import Answer


@dataclass(frozen=True)
class Callback:
    """Called on rank 0 after every generation, with a `grs_evo.driver.monitor.status_file.Progress`.

    It looks and tells; what it returns has no effect, and the run's answer is the same without it.
    """

    name: str
    call: Callable[[Any], Any]

    ANSWERS: ClassVar[Mapping[str, Answer]] = {}  # the recorder tells its slips, and the run goes on
