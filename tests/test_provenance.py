"""What made a run, and whether a folder is still what its run left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import small
from pinned_files import STOPPED

from grs_evo import resume, run
from grs_evo.driver.config.run_file import RunFile, parse
from grs_evo.driver.provenance import fingerprint, stamped, unchanged
from grs_evo.driver.setup import make_target_data
from grs_evo.errors import InputError
from grs_evo.search.options import IslandOptions
from grs_evo.storage import checkpoint
from grs_evo.storage.run_folder import Folder


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run of an earlier version, halted at its ninth generation."""
    return Path(shutil.copytree(STOPPED, tmp_path / "stopped"))


def _reword(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give options other descriptions than they had when a checkpoint was written."""
    for model, name in ((RunFile, "seed"), (IslandOptions, "population")):
        monkeypatch.setattr(model.model_fields[name], "description", "told in other words [1]")


def test_other_descriptions_make_no_other_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = parse(small.write(tmp_path).read_text(), "case")
    data = make_target_data(given, tmp_path)
    before, text = fingerprint(given, data), stamped(given)
    _reword(monkeypatch)
    assert stamped(given) != text
    assert fingerprint(given, data) == before
    assert fingerprint(given.model_copy(update={"seed": 8}), data) != before


def test_what_may_be_extended_is_no_part_of_the_fingerprint(tmp_path: Path) -> None:
    given = parse(small.write(tmp_path).read_text(), "case")
    longer = given.model_copy(update={"stop": given.stop.model_copy(update={"generations": 99})})
    data = make_target_data(given, tmp_path)
    assert fingerprint(given, data) == fingerprint(longer, data)


def test_a_checkpoint_of_before_resumes_after_descriptions_changed(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = resume(Path(shutil.copytree(STOPPED, tmp_path / "unchanged")), quiet=True).archive_hash
    _reword(monkeypatch)
    assert resume(stopped, quiet=True).archive_hash == expected


def test_a_changed_value_is_named(stopped: Path) -> None:
    folder = Folder(stopped)
    point = checkpoint.newest(folder.checkpoints, print)
    assert unchanged(folder, point) is not None
    text = folder.run_file.read_text()
    folder.run_file.write_text(text.replace("n_max = [", "n_max = [9, ", 1))
    with pytest.raises(InputError, match=r"was changed since the run began \(basis\.n_max"):
        unchanged(folder, point)


def test_a_run_file_that_is_no_text_is_named(stopped: Path) -> None:
    (stopped / "run.toml").write_bytes(b"seed = 1 # \xff\n")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        resume(stopped, quiet=True)


def test_versions_are_kept_with_the_run(tmp_path: Path) -> None:
    case = small.write(tmp_path, small.LATTICE.replace("generations = 12", "generations = 0"))
    found = json.loads((run(case, quiet=True).folder / "versions.json").read_text())
    assert {"grs_evo", "python", "numpy", "numba", "mpi"} <= set(found)
