"""Runs that take a moment: two elements on eight sites, and four atoms that relax."""

from __future__ import annotations

from pathlib import Path

TARGET = """4
Lattice="3.75 0 0 0 3.75 0 0 0 3.75" Properties=species:S:1:pos:R:3 pbc="T T T"
Au 0.0 0.0 0.0
Cu 0.0 1.875 1.875
Cu 1.875 0.0 1.875
Cu 1.875 1.875 0.0
"""

LATTICE = """
seed = 7
[target]
files = ["target.xyz"]
[basis]
n_max = [3, 1]
l_max = [0, 1]
cutoff = 4.0
[loss]
variance = 0.5
scale = "none"
[candidates]
kind = "lattice"
lattice = "fcc"
repeat = [2, 1, 1]
composition = "free"
[search]
islands = 5
population = 6
[migration]
interval = 2
emigrants = 1
[checkpoint]
generations = 1
max_cost = 1.0
[stop]
generations = 12
"""

RELAXED = """
seed = 5
[target]
files = ["target.xyz"]
[basis]
n_max = [3, 2]
l_max = [0, 1]
cutoff = 4.0
[candidates]
kind = "random"
sizes = [4, 4]
composition = "target"
[relax]
max_evaluations = 30
stage_evaluations = 6
[search]
islands = 3
population = 4
[migration]
interval = 1
emigrants = 1
topology = "full"
[checkpoint]
generations = 2
max_cost = 1.0
[stop]
generations = 5
"""


def write(folder: Path, text: str = LATTICE, extra: str = "") -> Path:
    """A run file and its target in a folder; returns the run file."""
    (folder / "target.xyz").write_text(TARGET)
    path = folder / "case.toml"
    path.write_text(text + extra)
    return path
