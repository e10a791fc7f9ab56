"""Options that can have no effect are told, in a line each; those that have one are not."""

from __future__ import annotations

from pathlib import Path

import pinned_runs
import pytest
import small

from grs_evo.cli.check import check


def notes(path: Path) -> list[str]:
    return [note for note in check(path)["notes"] if "has no effect" in note]


@pytest.mark.parametrize(
    ("text", "table", "option", "why"),
    [
        (small.LATTICE, "candidates", "sizes = [8, 16]", "kind is 'lattice' and no atom moves; repeat says how many"),
        (small.LATTICE, "candidates", "shape = 'cubic'", "kind is 'lattice'"),
        (small.LATTICE, "candidates", "density = [0.9, 1.1]", "kind is 'lattice'"),
        (small.LATTICE, "candidates", "volume = [0.9, 1.1]", "no atom moves"),
        (small.LATTICE, "candidates", "c_over_a = 1.5", "lattice is 'fcc'"),
        (small.LATTICE, "candidates", "rattled = 0.5", "rattle is 0"),
        (small.LATTICE, "candidates", "symprec = 0.1", "lattice is 'fcc'"),
        (small.RELAXED, "candidates", "repeat = [3, 1, 1]", "kind is 'random'"),
        (small.RELAXED, "candidates", "a = 4.0", "kind is 'random'"),
        (small.RELAXED, "candidates", "sites = [['Au']]", "kind is 'random'"),
        (small.RELAXED, "relax", "goal = 1.0", "use_goal is false"),
        (small.RELAXED, "relax", "max_volume_change = 1.5", "cell is 'none'"),
        (small.RELAXED, "search", "walk.steps = 10", "strategy is 'genetic'"),
        (small.LATTICE, "search", "genetic.relaxed = 0.5", "there is no [relax]"),
        (small.LATTICE, "search", "genetic.children = 9", "survival is 'generational'"),
        (small.LATTICE, "search", "operators.floor = 0.2", "adaptive is false"),
        (small.LATTICE, "search", "patience = 9", "refresh is 0"),
        (small.LATTICE, "search", "carried = 0.5", "there is one round only (set.rounds)"),
        (small.LATTICE, "migration", "degree = 2", "topology is 'ring'"),
        (small.LATTICE + "[set]\n", "set", "accept = 2", "rounds is 0: there is no set"),
    ],
)
def test_an_option_without_effect_is_told(text: str, table: str, option: str, why: str, tmp_path: Path) -> None:
    name = option.split(" = ")[0]
    (note,) = notes(small.write(tmp_path, text.replace(f"[{table}]\n", f"[{table}]\n{option}\n")))
    assert note.startswith(f"{table}.{name}: has no effect, {why}")


def test_a_relaxation_in_which_nothing_moves_is_told(tmp_path: Path) -> None:
    (note,) = notes(small.write(tmp_path, small.RELAXED.replace("[relax]\n", "[relax]\npositions = false\n")))
    assert note == "relax: has no effect, positions is false and cell is 'none': nothing may move"


@pytest.mark.parametrize("name", pinned_runs.RUNS)
def test_options_with_an_effect_are_not_told(name: str, tmp_path: Path) -> None:
    assert notes(pinned_runs.write(tmp_path, name)) == []


def test_what_is_written_out_in_full_says_nothing(tmp_path: Path) -> None:
    path = small.write(tmp_path)
    path.write_text(check(path)["effective"])
    assert notes(path) == []
