"""Files that are whole or not there, archives that come back, messages that keep every bit."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import small
from hdf5_files import changed
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grs_evo.driver.session import run
from grs_evo.errors import InputError, StorageError
from grs_evo.exporters.export import export
from grs_evo.files import write_whole
from grs_evo.parallel.messages import array_text, decode, encode, text_array
from grs_evo.storage.archive_file import read_archive
from grs_evo.storage.hdf5 import Damaged, from_image, sealed, stack, to_image, unsealed, unstack

_ARRAYS = hnp.arrays(
    st.sampled_from(["<f8", "<i8", "<i4", "<u8", "|u1", "|b1", "|S7"]),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text("abc._", min_size=1, max_size=9), _ARRAYS, max_size=5))
def test_messages_keep_every_bit(arrays: dict[str, np.ndarray]) -> None:
    found = decode(encode(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_messages_hold_no_objects() -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        encode({"a": np.array([{}], dtype=object)})
    assert array_text(text_array("Å ∂")) == "Å ∂"


def test_files_keep_every_bit() -> None:
    tree = {"a/b": np.array([np.pi, -0.0]), "c": "Å ∂", "d": np.empty((0, 3)), "e": np.array([b"x", b"yy"])}
    found, attributes = from_image(to_image(tree, {"n": 3, "s": "text"}))
    assert attributes == {"n": 3, "s": "text"}
    assert found["c"] == "Å ∂"
    for name in ("a/b", "d", "e"):
        assert found[name].tobytes() == tree[name].tobytes()  # type: ignore[attr-defined]
        assert found[name].shape == tree[name].shape  # type: ignore[attr-defined]


def test_stacks_come_apart_again() -> None:
    rng = np.random.default_rng(0)
    states = [{"a": rng.random((n, 2)), "b.c": rng.integers(0, 9, m)} for n, m in ((3, 0), (0, 1), (2, 2))]
    found = unstack(stack(states, "islands"), "islands")
    for one, other in zip(states, found, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_seals() -> None:
    image = to_image({"a": np.arange(4)}, {})
    data = sealed(image)
    assert unsealed(data) == image
    for broken in (b"", data[:-1], data + b"x", b"\0" + data[1:], data[:600] + b"\xff" + data[601:]):
        with pytest.raises(Damaged):
            unsealed(broken)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")

    def refuse() -> None:
        raise StorageError("not yours")

    with pytest.raises(StorageError, match="not yours"):
        write_whole(path, b"new", refuse)
    monkeypatch.setattr("grs_evo.files._holds", lambda *_: False)
    with pytest.raises(StorageError, match="other bytes than were written"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StorageError, match="cannot be written"):
        write_whole(tmp_path / "none" / "file", b"new")


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


@pytest.mark.parametrize("name", ["a.extxyz", "a.poscar", "a.cif", "a.data", "POSCAR"])
def test_exports_read_back_the_same(folder: Path, tmp_path: Path, name: str) -> None:
    import ase.io

    archive = read_archive(folder)
    best = min(archive.individuals, key=lambda one: (one.value, one.uid))
    [path] = export(archive, tmp_path / name, top=1)
    formats = {"a.data": "lammps-data", "a.poscar": "vasp", "POSCAR": "vasp"}
    atoms = ase.io.read(path, format=formats.get(name))
    expected = archive.atoms(archive.individuals.index(best))
    if name == "a.data":
        numbers = np.array([29, 79])
        atoms.numbers = numbers[atoms.arrays["type"] - 1] if "type" in atoms.arrays else atoms.numbers
    assert sorted(atoms.symbols) == sorted(expected.symbols)
    np.testing.assert_allclose(atoms.cell.cellpar(), expected.cell.cellpar(), atol=1e-8)
    order, other = np.lexsort(expected.positions.T.round(6)), np.lexsort(atoms.positions.T.round(6))
    np.testing.assert_allclose(atoms.positions[other], expected.positions[order], atol=1e-8)
    if name == "a.extxyz":
        assert atoms.info["grs_value"] == best.value
        assert {"grs_island", "grs_generation", "grs_parents", "grs_operator", "grs_seed"} <= set(atoms.info)


def test_exports_that_cannot_be(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="suffix"):
        export(folder, tmp_path / "a.docx")
    with pytest.raises(InputError, match=r"extxyz.*did you mean 'cif'"):
        export(folder, tmp_path / "a.xyz", format="ciff")
    with pytest.raises(InputError, match="has no representative set"):
        export(folder, tmp_path / "a.xyz", which="set")
    with pytest.raises(InputError, match="--top 0"):
        export(folder, tmp_path / "a.xyz", top=0)


def test_a_reversed_search_goes_away_from_the_target(tmp_path: Path) -> None:
    """NSGA-II on the default objectives raises the mismatch, and the front is where it got farthest."""
    text = small.LATTICE.replace("variance = 0.5", "variance = 0.5\nw_structure = -1.0").replace(
        "[migration]", 'selection = {kind = "nsga2"}\n[migration]'
    )
    folder = run(small.write(tmp_path, text), quiet=True).folder
    archive = read_archive(folder)
    assert archive.objective_names == ("value",)
    best = min(archive.individuals, key=lambda one: one.value)
    [path] = export(archive, tmp_path / "front.extxyz", which="pareto")
    import ase.io

    assert ase.io.read(path, 0).info["grs_uid"] == best.uid
    lowest = archive.history["population_best"].reshape(5, 13)
    assert (lowest[:, -1] < lowest[:, 0]).all()
    assert best.value == lowest.min()
