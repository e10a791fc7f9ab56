"""The archive file: read by plain h5py, old versions for ever, newer ones refused, and large ones in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import small
from archives import archive, lattice
from hdf5_files import changed

from grs_evo.driver.session import run
from grs_evo.errors import InputError
from grs_evo.report.report import write_report
from grs_evo.search.counters import RunCount, evaluations_so_far
from grs_evo.search.population.archive import archive_hash
from grs_evo.storage import schema
from grs_evo.storage.archive_file import read_archive, write_archive
from grs_evo.storage.schema import ARCHIVE_SCHEMA

DATA = Path(__file__).parent / "data"


def stored(schema: int) -> Path:
    return DATA / f"archive-schema-{schema}.h5"


@pytest.mark.parametrize("schema", range(1, ARCHIVE_SCHEMA + 1))
def test_files_of_every_schema_are_read(schema):
    """The files were written by the program as it was then, and stay as they are."""
    found = read_archive(stored(schema))
    assert found.elements == ("Cu", "Au")
    assert found.term_names == ("mean", "variance")
    assert len(found.individuals) == 5
    assert len(found.set) == 2
    assert found.objectives.shape == (5, 3)
    first = found.individuals[0]
    assert first.structure.n_atoms == len(first.structure.positions)
    np.testing.assert_array_equal(found.objectives[0, :2], first.terms)
    assert found.basis.elements == found.elements
    assert {"island", "generation", "evaluations", "best_value"} <= set(found.history)
    assert list(found.table()["n_atoms"]) == [one.structure.n_atoms for one in found.individuals]
    assert found.atoms(0).info["grs_uid"] == first.uid
    remembered = sum(len(one.line) for one in found.individuals)
    assert remembered == 0 if schema == 1 else remembered > 0
    for one in found.individuals:
        assert len(one.line) == 0 or one.line["uid"][0] == one.parents[0]


def test_evaluations_of_the_run_count_all_islands(folder: Path) -> None:
    columns = {
        "island": np.array([0, 1, 0, 1, 0, 1]),
        "round": np.array([0, 0, 0, 0, 1, 1]),
        "generation": np.array([0, 0, 1, 1, 0, 0]),
        "evaluations": np.array([10, 20, 10, 30, 14, 30]),
        "incremental": np.array([0, 0, 0, 10, 0, 10]),
    }
    count = RunCount(columns)
    assert [count(0, k) for k in (5, 10, 12, 14)] == [15, 30, 52, 54]  # half of a generation; its end; after a rest
    assert [count(1, k) for k in (10, 20, 30, 40)] == [15, 30, 40, 50]
    assert count(0, 16) == 58  # after the last row both go on
    assert RunCount({})(3, 7) == 7
    found = read_archive(folder)
    last = sum(evaluations_so_far(found.history)[found.history["generation"] == found.history["generation"].max()])
    counts = [one.info["grs_evaluation"] for one in found]
    assert counts == list(found.table()["evaluation"])
    for one, counted in zip(found.individuals, counts, strict=True):
        assert one.evaluation <= counted <= last
    assert any(one.evaluation < counted for one, counted in zip(found.individuals, counts, strict=True))


def test_plain_h5py_reads_it(tmp_path):
    made = archive(4)
    write_archive(tmp_path / "a.h5", made)
    with h5py.File(tmp_path / "a.h5") as file:
        elements = json.loads(file.attrs["elements"])
        rows = file["individuals"]
        ends = np.cumsum(rows["n_atoms"])
        best = int(np.argmin(rows["value"]))
        atoms = slice(ends[best] - rows["n_atoms"][best], ends[best])
        positions, cell = rows["positions"][atoms], rows["cells"][best]
        symbols = [elements[k] for k in rows["species"][atoms]]
        assert rows["positions"].attrs["unit"] == "Angstrom"
    one = made.individuals[best].structure
    np.testing.assert_array_equal(positions, one.positions)
    np.testing.assert_array_equal(cell, one.cell)
    assert symbols == ["Ta"] * one.n_atoms


def unexplained(path):
    """Datasets of a file that lack a row of the table, or whose attributes say something else than it."""
    missing = []

    def visit(name, item):
        if not isinstance(item, h5py.Dataset):
            return
        row = schema.column(name)
        if row is None or item.attrs.get("unit") != row.unit or item.attrs.get("description") != row.meaning:
            missing.append(name)
        elif row.shape.startswith("(") and len(row.shape.split(",")) != item.ndim:
            missing.append(f"{name}: {item.shape} is not {row.shape}")

    with h5py.File(path) as file:
        file.visititems(visit)
        if "term_names" in file.attrs:
            missing += [name for name in schema.ATTRIBUTES if name not in file.attrs]
    return missing


def test_every_dataset_is_explained_in_the_file(tmp_path):
    write_archive(tmp_path / "a.h5", archive(4, elements=("Cu", "Au"), in_set=2))
    assert unexplained(tmp_path / "a.h5") == []
    folder = run(small.write(tmp_path), quiet=True).folder
    assert unexplained(folder / "archive.h5") == []
    assert unexplained(folder / "target.h5") == []
    with h5py.File(folder / "archive.h5") as file:
        assert file["target/volumes"].attrs["unit"] == "Angstrom^3"
        assert file["target/nearest"].attrs["unit"] == "Angstrom"
        assert file["history/tries_swap"].attrs["description"].startswith("times that this operator was tried")


def test_the_document_is_in_step():
    written = (Path(__file__).parents[1] / schema.DOCUMENT).read_text(encoding="utf-8")
    assert written == schema.document(), "python -m grs_evo.schema > tools/archive-schema.md"
    assert sorted(schema.VERSIONS) == list(range(1, ARCHIVE_SCHEMA + 1))
    assert schema.DOCUMENT in (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_a_newer_schema_is_refused_in_one_line(tmp_path):
    write_archive(tmp_path / "b.h5", archive(2))
    newer = {"schema": ARCHIVE_SCHEMA + 1, "version": "9.9"}
    changed(tmp_path / "b.h5", tmp_path / "a.h5", lambda file: file.attrs.update(newer))
    with pytest.raises(InputError, match=r"written by grs_evo 9\.9, newer than this one.*upgrade") as caught:
        read_archive(tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


def test_a_run_without_an_archive_yet_says_so(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="no archive yet"):
        read_archive(tmp_path)


def test_a_file_being_written_leaves_the_old_one_readable(tmp_path):
    """The new file lies beside the old until it is whole: whatever happens meanwhile, a reader finds the old one."""
    write_archive(tmp_path / "a.h5", archive(2))

    def interrupted() -> None:
        if list(tmp_path.glob(".a.h5.*.part")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_archive(tmp_path / "a.h5", archive(3), interrupted)
    assert len(read_archive(tmp_path / "a.h5").individuals) == 2


@pytest.mark.long
def test_ten_thousand_structures_are_reported_in_bounded_memory(tmp_path):
    """How long it takes is measured by tools/bench/report.py."""
    import resource

    write_report_once_to_compile(tmp_path)
    write_archive(tmp_path / "big.h5", archive(10_000, sizes=(16, 32, 54), in_set=500))
    found = read_archive(tmp_path / "big.h5")
    assert len(found.individuals) == 10_000
    del found
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    page = write_report(tmp_path / "big.h5")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 500.0, f"took {grown:.0f} MB more"
    assert page.stat().st_size < 15e6, f"{page.stat().st_size / 1e6:.1f} MB"


def write_report_once_to_compile(folder):
    write_archive(folder / "small.h5", archive(3, in_set=2))
    write_report(folder / "small.h5")


def test_what_is_read_from_an_old_file_is_written_as_a_new_one(tmp_path):
    old = read_archive(stored(1))
    write_archive(tmp_path / "a.h5", old)
    assert unexplained(tmp_path / "a.h5") == []
    back = read_archive(tmp_path / "a.h5")
    assert back.attributes["schema"] == ARCHIVE_SCHEMA
    assert archive_hash(back.individuals) == archive_hash(old.individuals)


def test_structures_are_kept_bit_for_bit(tmp_path):
    made = archive(3)
    odd = lattice(np.random.default_rng(9), 5)
    made.individuals[0] = made.individuals[0].__class__(**{**vars(made.individuals[0]), "structure": odd})
    write_archive(tmp_path / "a.h5", made)
    back = read_archive(tmp_path / "a.h5").individuals[0]
    assert back.content == made.individuals[0].content


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    return run(small.write(place), quiet=True).folder


def test_an_archive_in_ten_lines_of_h5py(folder: Path) -> None:
    with h5py.File(folder / "archive.h5") as file:
        assert file.attrs["format"] == "grs_evo archive"
        elements = json.loads(file.attrs["elements"])
        group = file["individuals"]
        n_atoms = group["n_atoms"][()]
        first = slice(0, n_atoms[0])
        species = [elements[k] for k in group["species"][first]]
        positions = group["positions"][first]
        assert group["positions"].attrs["unit"] == "Angstrom"
        assert len(species) == len(positions) == 8
        assert group["value"].shape == n_atoms.shape
        assert "seed = 7" in file["run_file"][()].decode()


def test_what_is_read_is_what_was_found(folder: Path) -> None:
    archive = read_archive(folder)
    assert read_archive(folder / "archive.h5").archive_hash == archive.archive_hash
    assert archive.objectives.shape == (len(archive.individuals), len(archive.objective_names))
    assert archive.basis.elements == archive.elements == ("Cu", "Au")
    rows = len(archive.history["island"])
    assert rows == 5 * 13
    assert all(len(column) == rows for column in archive.history.values())
    atoms = archive.atoms(0)
    assert atoms.info["grs_value"] == archive.individuals[0].value
    assert len(archive.table()) == len(archive.individuals)


def test_archives_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    data = (folder / "archive.h5").read_bytes()
    changed(folder / "archive.h5", tmp_path / "newer.h5", lambda file: file.attrs.update(schema=99))
    (tmp_path / "cut.h5").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.h5").write_text("hello")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = 1
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file.attrs["format"] = "grs_evo archive"
        file.attrs["schema"] = 1
    for name, word in (
        ("newer.h5", "newer than this one"),
        ("cut.h5", r"has \d+ bytes of \d+"),
        ("text.h5", "HDF5"),
        ("other.h5", "no grs_evo archive"),
        ("empty.h5", "no whole"),
        ("none.h5", "cannot be read"),
    ):
        with pytest.raises(InputError, match=word) as error:
            read_archive(tmp_path / name)
        assert "\n" not in str(error.value)
