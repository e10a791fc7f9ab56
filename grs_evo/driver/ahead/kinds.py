"""Small runs, one of each kind: what they compile is what any run of that kind needs."""

from __future__ import annotations

from typing import NamedTuple

# 4 atoms of an alloy, a little off their sites.
TARGET = """4
Lattice="3.75 0 0 0.05 3.75 0 0 0.1 3.75" Properties=species:S:1:pos:R:3 pbc="T T T"
Au 0.02 0.01 0.0
Cu 0.0 1.875 1.9
Cu 1.875 0.05 1.85
Cu 1.9 1.875 0.03
"""

# 8 atoms of silicon, a little off the sites of diamond: a network of bonds.
NETWORK = """8
Lattice="5.43 0 0 0 5.43 0 0 0 5.43" Properties=species:S:1:pos:R:3 pbc="T T T"
Si 0.05 0.00 -0.04
Si 1.40 1.33 1.37
Si -0.03 2.75 2.70
Si 1.34 4.10 4.04
Si 2.73 0.03 2.69
Si 4.04 1.38 4.10
Si 2.70 2.68 0.05
Si 4.11 4.05 1.33
"""

_COMMON = """
[target]
files = ["target.xyz"]
[basis]
n_max = [2, 1]
l_max = [0, 1]
cutoff = 4.0
[stop]
generations = 1
"""

_LATTICE = """
[candidates]
kind = "lattice"
lattice = "fcc"
a = 3.75
repeat = [2, 1, 1]
composition = "free"
[search]
population = 4
"""

_RANDOM = """
[candidates]
kind = "random"
contact = 0.6
sizes = [3, 4]
composition = "free"
[search]
population = 4
"""

_WALKS = """
[[islands]]
genetic.passes = 1
[[islands]]
strategy = "annealing"
[[islands]]
strategy = "descent"
"""


class Kind(NamedTuple):
    """One small run."""

    meaning: str  # what it is for
    run_file: str
    target: str = TARGET
    by_name: bool = False  # compiled only where it is named


KINDS = {
    "lattice": Kind("occupations of fixed sites, by any strategy", _COMMON + _LATTICE + _WALKS),
    "rows": Kind(
        "the same with a loss of single environments: third and fourth moments, entropy",
        _COMMON + "[loss]\nskewness = 0.1\n" + _LATTICE + _WALKS,
    ),
    "relaxed": Kind(
        "cells whose positions and cell relax on the loss",
        _COMMON + '[loss]\nterms = {}\ncore.distances = {}\n[relax]\ncell = "full"\n' + _RANDOM,
    ),
    "networks": Kind(
        "cells of bonded networks, as silica, whose bonds are kept",
        _COMMON + _RANDOM.replace("[3, 4]", "[8, 8]"),
        NETWORK,
    ),
    "positions": Kind("cells as they are, with distances of pairs in the loss", _COMMON + _RANDOM),
    "large": Kind("targets of thousands of atoms, on one thread or several", _COMMON + _LATTICE),
    "mixed": Kind(
        "cells that relax in mixed precision (relax.precision)",
        _COMMON + '[relax]\ncell = "full"\nprecision = "mixed"\n' + _RANDOM,
        by_name=True,
    ),
}
