"""Files of earlier versions are read and written as they were, and runs stopped then go on to their end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pinned_files
import pinned_runs
import pinned_texts
import places
import pytest

import grs_evo


@pytest.mark.parametrize("name", pinned_files.FILES)
def test_a_file_holds_what_it_held_when_it_was_written(name: str) -> None:
    found = json.loads(json.dumps(pinned_files.FILES[name](pinned_files.DATA / name)))
    expected = json.loads(pinned_files.description(name).read_text())
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == value, f"{name}: {key}"


def _same_but_for_the_version(one: Path, other: Path) -> None:
    (data, attributes, notes), (again, attributes_again, notes_again) = map(pinned_files.content, (one, other))
    assert again == data
    # The one description that named a module, which has moved since.
    for about in notes.values():
        if "description" in about:
            about["description"] = about["description"].replace("grs_evo.basis.Basis", "grs_evo.Basis")
    assert notes_again == notes
    for varying in ("version", "created_by"):
        attributes.pop(varying, None), attributes_again.pop(varying, None)
    assert attributes_again == attributes


@pytest.mark.parametrize("name", ["checkpoint-schema-1.h5", "stopped-run/checkpoints/ckpt_00000009.h5"])
def test_checkpoints_are_written_as_they_were(name: str, tmp_path: Path) -> None:
    again = tmp_path / "again.h5"
    again.write_bytes(places.checkpoint_again(pinned_files.PINNED / name))
    _same_but_for_the_version(pinned_files.PINNED / name, again)


@pytest.mark.parametrize("name", ["target-schema-1.h5", "target-alloy-schema-1.h5", "stopped-run/target.h5"])
def test_targets_are_written_as_they_were(name: str, tmp_path: Path) -> None:
    path, again = pinned_files.PINNED / name, tmp_path / "again.h5"
    grs_evo.write_target(grs_evo.read_target(path), again, places.target_structures(path))
    _same_but_for_the_version(path, again)


def test_archives_are_written_as_they_were(tmp_path: Path) -> None:
    path, again = pinned_files.STOPPED / "archive.h5", tmp_path / "again.h5"
    places.write_archive(again, grs_evo.read_archive(path))
    _same_but_for_the_version(path, again)


def test_files_say_what_they_are() -> None:
    for name, what, schema in [
        ("archive-schema-1.h5", "archive", 1),
        ("archive-schema-2.h5", "archive", 2),
        ("pinned/checkpoint-schema-1.h5", "checkpoint", 1),
        ("pinned/target-schema-1.h5", "target", 1),
    ]:
        _, attributes, _ = pinned_files.content(pinned_files.DATA / name)
        assert (attributes["format"], attributes["schema"]) == (f"grs_evo {what}", schema), name


# ---------------------------------------------------------------------------------------------------------------------
# archives written today


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a run for a set: with history of several rounds, a set, and a target with covariances."""
    folder = tmp_path_factory.mktemp("written")
    result = grs_evo.run(pinned_runs.write(folder, "set"), quiet=True)
    assert result.finished
    return Path(result.folder) / "archive.h5"


def _row(name: str, table: dict[str, Any]) -> Any:
    """The table's row for a dataset: of its own name, or of the pattern that it matches."""
    group, _, start = name.rpartition("/")
    return table.get(name) or table[f"{group}/{start.partition('_')[0]}_*"]


def test_a_written_archive_has_the_datasets_units_and_descriptions_of_the_table(written: Path) -> None:
    table = pinned_texts.archive_columns()
    data, attributes, notes = pinned_files.content(written)
    assert set(attributes) == {*places.ARCHIVE_ATTRIBUTES, "created_by"}
    for name, about in notes.items():
        shape, unit, meaning = _row(name, table)
        assert about == {"unit": unit, "description": meaning}, name
        dimensions = 0 if shape == "text" else len(shape.split(","))
        assert len(data[name]["shape"]) == dimensions if dimensions else "digest" in data[name], name
    fixed = {name for name in table if "*" not in name and not name.startswith("structures/")}
    # standard errors are those of sampled alloys
    assert fixed - set(data) == {"target/errors"}
    stats = places.ORDERS["STAT_NAMES"]
    operators = [f"{what}_{name}" for what in ("tries", "successes") for name in places.ORDERS["OPERATORS"]]
    terms = [f"best_{name}" for name in json.loads(attributes["term_names"])]
    expected = {f"history/{name}" for name in ("round", "island", *stats, *operators, *terms)}
    assert {name for name in data if name.startswith("history/")} == expected


def test_a_written_archive_has_the_types_it_had(written: Path) -> None:
    old, _, _ = pinned_files.content(pinned_files.STOPPED / "archive.h5")
    new, _, _ = pinned_files.content(written)
    assert set(new) == set(old)
    for name, facts in old.items():
        assert new[name].get("type") == facts.get("type"), name


# ---------------------------------------------------------------------------------------------------------------------
# a run that an earlier version left half-way


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A copy of the run folder, stopped in the second of three rounds, with migrants under way."""
    return Path(shutil.copytree(pinned_files.STOPPED, tmp_path / "stopped-run"))


def test_a_run_stopped_by_an_earlier_version_goes_on_to_its_end(stopped: Path) -> None:
    before = grs_evo.read_archive(stopped)
    result = grs_evo.resume(stopped, quiet=True)
    assert (result.finished, result.reason, result.generation, result.exit_code) == (True, "3 rounds done", 6, 0)
    after = grs_evo.read_archive(stopped)
    assert result.archive_hash == after.archive_hash
    assert len(after.set) == 3
    assert after.set[0].structure.positions.tobytes() == before.set[0].structure.positions.tobytes()
    # what was there has not changed by a bit, on any machine
    rows = {name: _by_place(after.history, name) for name in after.history}
    for name in before.history:
        kept = _by_place(before.history, name)
        assert kept.items() <= rows[name].items(), name
    assert len(rows["round"]) == 3 * 3 * 7


def _by_place(history: dict[str, Any], name: str) -> dict[tuple[int, ...], float]:
    places_ = np.column_stack([history[key] for key in ("round", "island", "generation")]).tolist()
    return {tuple(place): value for place, value in zip(places_, history[name].tolist(), strict=True)}
