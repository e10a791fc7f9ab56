"""Parts that the table [plugins] of a run file names: found, checked and added before its other tables are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grs_evo.driver.config.callback import Callback
from grs_evo.errors import InputError, nearest
from grs_evo.observables import Observable
from grs_evo.observables.catalogue import plug as plug_observable
from grs_evo.plugins import Plugin, load
from grs_evo.search.candidates.source import CandidateGenerator
from grs_evo.search.operators.record import Operator
from grs_evo.search.operators.table import plug as plug_operator
from grs_evo.search.strategies.table import plugged

# kind in [plugins] -> what its record is, and where it is added. Terms of the loss are named in [loss.terms] and
# exporters by `export --format`, where their weight and their file are.
_KINDS: dict[str, tuple[type, Any]] = {
    "operators": (Operator, plug_operator),
    "observables": (Observable, plug_observable),
    "callbacks": (Callback, lambda _: None),  # `callbacks` finds them when the run begins
}


def plug(raw: Any, source: str) -> None:
    """Add what the table [plugins] of a run file names.

    Raises
    ------
    InputError
        One line that names the file, the key, and what cannot be.
    """
    if not isinstance(raw, Mapping):
        return  # said by the check of the run file
    for kind, names in raw.items():
        if kind not in _KINDS:
            raise InputError(
                f"{source}: plugins.{kind}: unknown key{nearest(kind, _KINDS)}; allowed here are {', '.join(_KINDS)}"
            )
        for one in found(kind, names, f"{source}: plugins.{kind}"):
            _KINDS[kind][1](one.value)


def found(kind: str, names: Any, where: str) -> list[Plugin]:
    """The parts of a kind."""
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        raise InputError(f'{where}: is {names!r}; must be a list such as ["mymodule:VARIABLE"]')
    return [load(kind, name, _KINDS[kind][0], where) for name in names]


def callbacks(run: Any) -> list[Callback]:
    """Those that the run file names."""
    return [one.value for one in found("callbacks", run.plugins.get("callbacks", ()), "plugins.callbacks")]


def recorded(run: Any) -> dict[str, str]:
    """Place, version and digest of each part of a run file besides terms of the loss, by kind and name."""
    told = {
        f"{kind} {one.name}": one.told
        for kind, names in run.plugins.items()
        for one in found(kind, names, f"plugins.{kind}")
    }
    sources = [run.candidates, *(island.candidates for island in run.each_island() if island.candidates is not None)]
    for options in sources:
        if options.generator is not None:
            one = load("candidates", options.generator, CandidateGenerator, "candidates.generator")
            told[f"candidates {one.name}"] = one.told
    for name in dict.fromkeys(island.strategy for island in run.each_island()):
        strategy = plugged(name)
        if strategy is not None:
            told[f"strategies {name}"] = strategy.told
    return told
