"""What every dataset of archive.h5 and target.h5 is: shape, unit and meaning, in one table.

The files carry it as attributes, and ``python -m grs_evo.storage.schema`` prints it as `tools/archive-schema.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

ARCHIVE_SCHEMA = 2
# What became of the archive's schema, version by version; files of every version are read.
VERSIONS = {
    1: "The first.",
    2: "Lines of descent: `line_length` and the columns `line_…` of `individuals` and `set`; taken as empty in files "
    "of version 1.",
}

DOCUMENT = "tools/archive-schema.md"


@dataclass(frozen=True)
class Column:
    """One dataset, or several whose names match a pattern."""

    name: str  # of the dataset, with its group; * stands for a part that the run decides
    shape: str
    unit: str
    meaning: str


_INDIVIDUALS = (
    ("n_atoms", "(n)", "1", "atoms of each structure; its rows of positions and species follow those before it"),
    ("positions", "(all atoms, 3)", "Angstrom", "Cartesian positions, structure after structure"),
    ("species", "(all atoms)", "1", "element of each atom, as an index into the attribute elements"),
    ("cells", "(n, 3, 3)", "Angstrom", "cell vectors as rows"),
    ("pbc", "(n, 3)", "1", "whether each cell vector is periodic"),
    ("value", "(n)", "1", "what the search minimises (V_eff, eq. 16): the weighted sum of the terms"),
    ("terms", "(n, terms)", "1", "parts of the value, without weights, named by the attribute term_names"),
    ("uid", "(n)", "1", "number of the individual, unique in the run: island · 2^40 + its place in the island"),
    ("parents", "(n, 2)", "1", "uids of the parents, -1 for none"),
    ("operator", "(n)", "1", "what made it: an operator's name, or random, seed, replace, ... (ASCII)"),
    ("island", "(n)", "1", "island that found it"),
    ("generation", "(n)", "1", "generation of that island in which it was found"),
    ("evaluation", "(n)", "1", "evaluations which that island had spent when it was found"),
    (
        "line_length",
        "(n)",
        "1",
        "ancestors remembered of each: its first parent, that one's first parent, … (20 at most); its rows of line_… "
        "follow those before it",
    ),
    ("line_uid", "(all ancestors)", "1", "uid of the ancestor"),
    (
        "line_other",
        "(all ancestors)",
        "1",
        "uid of its second parent, -1 for none; its first is the next row",
    ),
    ("line_value", "(all ancestors)", "1", "value of the ancestor"),
    ("line_generation", "(all ancestors)", "1", "generation of its island in which the ancestor was found"),
    ("line_n_atoms", "(all ancestors)", "1", "atoms of the ancestor"),
    ("line_operator", "(all ancestors)", "1", "what made the ancestor (ASCII)"),
)

_HISTORY = (
    ("island", "number of the island"),
    ("round", "round of a search for a set; 0 where there are none"),
    ("generation", "generation within the round"),
    ("evaluations", "full loss evaluations so far"),
    ("gradient_evaluations", "evaluations of loss and gradient together so far"),
    ("incremental", "losses after a single flip or swap on a lattice so far"),
    ("accepted_migrants", "individuals of other islands taken in so far"),
    ("accepted_seeds", "structures from seeds/ taken in so far"),
    ("refreshes", "times that a collapsed population was refreshed so far"),
    ("rejected_*", "candidates thrown away for this cause so far"),
    ("best_value", "lowest value the island has found so far"),
    ("population_best", "lowest value in the population"),
    ("population_median", "median of the values in the population"),
    ("population_worst", "highest value in the population"),
    ("population_size", "individuals in the population"),
    ("diversity", "probability that two members of the population differ"),
    ("archive_size", "individuals in the island's own archive"),
    ("best_*", "this loss term, of the individual with the lowest value so far"),
    ("tries_*", "times that this operator was tried so far"),
    ("successes_*", "times that its child was better than its parents so far"),
)

_TARGET = (
    ("moments_sizes", "(elements)", "1", "descriptor functions of each central element"),
    ("moments_counts", "(elements)", "1", "environments of each central element (the sum of their weights)"),
    ("moments_mean", "(functions)", "1", "mean of each descriptor function over the environments of its element"),
    ("moments_sums", "(3, functions)", "1", "sums of the second, third and fourth powers of deviations from the mean"),
    (
        "moments_covariance_sums",
        "(sum of functions²)",
        "1",
        "sums of products of deviations, an element's square block after the other; only where it was asked for",
    ),
    ("sample_rows", "(sample, widest)", "1", "descriptors of a sample of the environments, padded with zeros"),
    ("sample_species", "(sample)", "1", "central element of each environment of the sample"),
    ("sample_weights", "(sample)", "1", "weight of each environment of the sample"),
    ("n_atoms", "(structures)", "1", "atoms of each structure of the target"),
    ("volumes", "(structures)", "Angstrom^3", "volume of each structure of the target"),
    ("weights", "(structures)", "1", "weight of each structure of the target"),
    ("nearest", "(1)", "Angstrom", "shortest distance between two atoms of the target"),
    ("errors", "(4, functions)", "1", "standard errors of the pooled mean, variance, skewness and kurtosis (alloys)"),
    ("text", "(bytes)", "1", "names, groups, description and basis hash as JSON in UTF-8"),
)

_STRUCTURES = ("n_atoms", "positions", "species", "cells", "pbc")

COLUMNS: tuple[Column, ...] = (
    Column("run_file", "text", "1", "the run file with all defaults (TOML)"),
    Column("basis", "text", "1", "the descriptor basis, as grs_evo.Basis.from_text reads it (JSON)"),
    *(Column(f"individuals/{name}", shape, unit, what) for name, shape, unit, what in _INDIVIDUALS),
    Column(
        "individuals/objectives",
        "(n, objectives)",
        "1",
        "what the Pareto front is judged by, all minimised, named by the attribute objective_names",
    ),
    *(Column(f"set/{name}", shape, unit, f"representative set: {what}") for name, shape, unit, what in _INDIVIDUALS),
    *(Column(f"history/{name}", "(rows)", "1", what) for name, what in _HISTORY),
    *(Column(f"target/{name}", shape, unit, what) for name, shape, unit, what in _TARGET),
    *(
        Column(f"structures/{name}", shape, unit, f"target.h5: {what}")
        for name, shape, unit, what in _INDIVIDUALS
        if name in _STRUCTURES
    ),
)

# Attributes of an archive's root.
ATTRIBUTES = {
    "format": "grs_evo archive",
    "schema": "version of this table",
    "version": "of the program that wrote the file",
    "elements": "chemical symbols that species index (JSON)",
    "term_names": "names of the columns of terms (JSON)",
    "objective_names": "names of the columns of objectives (JSON)",
    "seed": "of the run",
    "archive_hash": "of structures, values and terms; order, time, host and number of ranks play no part",
}


@cache
def column(name: str) -> Column | None:
    """The row of the table for a dataset, or None: a dataset of something else."""
    exact = next((one for one in COLUMNS if one.name == name), None)
    return exact or next((one for one in COLUMNS if "*" in one.name and fnmatchcase(name, one.name)), None)


def document() -> str:
    """The table for people, as Markdown."""
    lines = [
        "# What is in `archive.h5`",
        "",
        f"Schema {ARCHIVE_SCHEMA}. Made by `python -m grs_evo.storage.schema`; each dataset carries its `unit` and",
        "`description` as attributes.",
        "",
        "A structure is a run of rows in `positions` and `species`: those of structure k end at the sum of the",
        "first k + 1 `n_atoms`. A unit of 1 is a pure number. `structures/` is in a run's `target.h5` only, beside",
        "`target/` and `basis`.",
        "",
        "In front of the HDF5 file stand 512 bytes that any HDF5 library skips: `grs_evo sealed`, the length of what",
        "follows and its BLAKE2b-128 checksum, as text. grs_evo refuses a file that does not agree with them, so one",
        "that was changed with h5py as well; files of earlier versions may lack them.",
        "",
        "| attribute of the root | meaning |",
        "|---|---|",
        *(f"| `{name}` | {what} |" for name, what in ATTRIBUTES.items()),
        "",
    ]
    groups: dict[str, list[Column]] = {}
    for one in COLUMNS:
        groups.setdefault(one.name.rpartition("/")[0], []).append(one)
    for group, columns in groups.items():
        lines += [f"## `{group}/`" if group else "## Texts", "", *_table(columns), ""]
    lines += [
        "History has a row per island and generation; of long runs one of every second, fourth, … generation, so that",
        "there are no more than 65,536 of all islands together.",
        "",
        "The hypervolume of the front over generations that reports show is computed from the individuals that are",
        "still kept, and so is a lower bound before the last generation: what once was on the front and then was",
        "beaten is gone.",
        "",
        "`evaluation` counts those of an island. `grs_evaluation` of exported structures, and the table that Python",
        "gives, count those of all islands, which are taken to go through a generation in step, from `history`.",
        "",
        "## Versions",
        "",
        *(f"{version}. {what}" for version, what in VERSIONS.items()),
        "",
    ]
    return "\n".join(lines)


def _table(columns: Sequence[Column]) -> list[str]:
    units: Mapping[str, str] = {"Angstrom": "Å", "Angstrom^3": "Å³"}
    rows = [
        f"| `{one.name.rpartition('/')[2]}` | {one.shape} | {units.get(one.unit, one.unit)} | {one.meaning} |"
        for one in columns
    ]
    return ["| dataset | shape | unit | meaning |", "|---|---|---|---|", *rows]


if __name__ == "__main__":
    print(document(), end="")
