"""Tables that READMEs of runs state, made anew: ``python tests/stated_tables.py`` writes them into those READMEs."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import grs_evo
from grs_evo.analysis import sources
from grs_evo.analysis.distributions import environments

RUNS = Path(__file__).parents[1] / "runs"
_WAYS = (
    "genetic, 50 individuals",
    "annealing with restarts",
    "first improvement with restarts",
    "best improvement with restarts",
    "unbiased random walk",
    "walk that takes what improves",
)


def ordering(folder: Path) -> list[str]:
    """Fig. 3: losses computed by each way to search when the generation ended in which the loss was first 0."""
    history = grs_evo.read_archive(folder).history
    rows = ["| island | search | losses |", "|---|---|---|"]
    for island, way in enumerate(_WAYS):
        mine = history["island"] == island
        solved = np.flatnonzero(history["best_value"][mine] < 1e-9)
        said = "not found"
        if len(solved):
            losses = (history["evaluations"] + history["incremental"])[mine][solved[0]]
            said = f"{losses:.0f} (generation {history['generation'][mine][solved[0]]:.0f})"
        rows.append(f"| {island} | {way} | {said} |")
    return rows


def wire(folder: Path) -> list[str]:
    """Fig. 7: how far moments of the first structures of the set are from the wire's, in its own spread."""
    basis = sources.basis(None, [str(folder)])
    _, target = sources.target(str(folder), basis)
    chosen = [one.structure for one in grs_evo.read_archive(folder).set]
    rows = ["| structures | environments | mean | variance |", "|---|---|---|---|"]
    for count in (10, 20, 40, 80):
        own = environments.of_structures(chosen[:count], basis)
        found = environments.compare_moments(target, own, basis)
        rows.append(f"| {count} | {own.total} | {found.scaled_first:.3f} | {found.scaled_second:.3f} |")
    return rows


TABLES: dict[str, Callable[[Path], list[str]]] = {"fig3-ordering": ordering, "fig7-fe-wire": wire}


def made(name: str, folder: Path) -> list[str]:
    """Lines of the table of a run, which is run for it."""
    return TABLES[name](grs_evo.run(RUNS / name / "run.toml", folder, quiet=True).folder)


def main() -> None:
    for name in TABLES:
        with tempfile.TemporaryDirectory() as folder:
            rows = made(name, Path(folder) / "out")
        page = RUNS / name / "README.md"
        text, count = re.subn(
            re.escape("\n".join(rows[:2])) + r"\n(\|.*\n)+", "\n".join(rows) + "\n", page.read_text(), count=1
        )
        if not count:
            sys.exit(f"{page} has no table with the head {rows[0]}")
        page.write_text(text)
        print(name, *rows, sep="\n")


if __name__ == "__main__":
    main()
