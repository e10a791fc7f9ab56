"""Results of benchmarks in one file, with commit and machine, so that what became slower shows."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


def stamp() -> dict[str, str]:
    """What was measured, when and where."""
    machine = f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"commit": commit(), "date": time.strftime("%Y-%m-%d"), "machine": machine}


def commit() -> str:
    """What was measured; with a + where files differ from it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def append(results: dict[str, Any], path: Path) -> list[str]:
    """Add the results to the end of a file, a JSON object a line; say what is slower than last time on this machine.

    Times are compared in units of the machine's own multiply-adds; by more than 15 %, less is noise.
    """
    costs = costs_of(results)
    before = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    old: dict[str, tuple[float, str]] = {}
    for one in before:
        if one["machine"] == results["machine"]:
            old |= {what: (found, one["commit"]) for what, found in costs_of(one).items()}
    slower = [
        f"{what}: {costs[what] / old[what][0]:.2f} times what it took at {old[what][1]}"
        for what in costs
        if what in old and costs[what] > 1.15 * old[what][0]
    ]
    with path.open("a") as file:
        file.write(json.dumps(results) + "\n")
    return slower


def costs_of(results: dict[str, Any]) -> dict[str, float]:
    """Cost of each row by its name; a stage, which is indented, has that of the row it belongs to in front.

    Of rows of one name the cheapest counts, as of starts that are measured twice.
    """
    costs: dict[str, float] = {}
    whole = ""
    for line in rows_of(results):
        what = line["what"].strip()
        if line["what"].startswith(" "):
            what = f"{whole}, {what}"
        else:
            whole = what
        costs[what] = min(cost(line), costs.get(what, float("inf")))
    return costs


def rows_of(results: dict[str, Any]) -> Rows:
    lines = [line for part in results.values() if isinstance(part, list) for line in part]
    return [line for line in lines if "us_per_atom" in line or "us" in line]


def cost(line: dict[str, Any]) -> float:
    """Microseconds, per atom where the row says so, in units of the machine's rate of multiply-adds."""
    return float(line.get("us_per_atom", line.get("us"))) * float(line["gf"])


def processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
