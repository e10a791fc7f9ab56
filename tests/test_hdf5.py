"""Seals, and HDF5 files that somebody else made: refused before anything in them is followed or allocated."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from archives import archive
from hdf5_files import changed, unsealed_copy

from grs_evo.cli.commands import main
from grs_evo.errors import InputError
from grs_evo.search.population.archive import archive_hash
from grs_evo.storage.archive_file import lacks_seal, read_archive, write_archive
from grs_evo.storage.checkpoint import Checkpoint
from grs_evo.storage.hdf5 import SEAL_BYTES, Damaged, from_image, sealed, stacked, to_image, unsealed, unstack
from grs_evo.storage.target_file import TargetData, read_target
from grs_evo.targets.target import Target


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sealed") / "archive.h5"
    write_archive(path, archive(4, elements=("Cu", "Au"), in_set=2))
    return path


# ---------------------------------------------------------------------------------------------------------------------
# seals


def test_one_flipped_bit_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    rng = np.random.default_rng(0)
    # half of them in the seal's line and at the beginning of the HDF5 file, where each byte means most
    places = np.concatenate([rng.integers(0, SEAL_BYTES + 96, 200), rng.integers(0, len(data), 200)])
    copy = tmp_path / "flipped.h5"
    for place in places:
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.integers(8)
        copy.write_bytes(flipped)
        with pytest.raises(InputError) as error:
            read_archive(copy)
        assert "\n" not in str(error.value)


def test_every_reader_refuses_a_flipped_bit(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from grs_evo.analysis import sources

    with h5py.File(file) as found:
        place = found["individuals/positions"].id.get_offset()
    data = bytearray(file.read_bytes())
    data[place + 30] ^= 0x10
    copy = tmp_path / "archive.h5"
    copy.write_bytes(data)
    for call in (read_archive, lambda path: sources.archive(str(path))):
        with pytest.raises(InputError, match="another checksum"):
            call(copy)
    for command in (["export", copy, "-o", tmp_path / "a.extxyz"], ["report", copy], ["report", tmp_path]):
        with pytest.raises(SystemExit) as left:
            main(list(map(str, command)))
        assert left.value.code == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("grs-evo: ")
        assert said.err.count("\n") == 1


def test_files_without_a_seal_are_read_with_a_word_about_it(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = unsealed_copy(file, tmp_path / "old.h5")
    assert archive_hash(read_archive(old).individuals) == read_archive(file).archive_hash
    assert "carries no seal" in lacks_seal(old)
    assert lacks_seal(file) == ""
    with pytest.raises(SystemExit) as left:
        main(["export", str(old), "-o", str(tmp_path / "a.extxyz")])
    assert left.value.code == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "carries no seal" in said


def test_without_a_seal_the_content_is_compared_with_the_archive_hash(file: Path, tmp_path: Path) -> None:
    def move(found: h5py.File) -> None:
        found["individuals/positions"][3, 1] += 1e-9

    moved = changed(file, tmp_path / "moved.h5", move, seal=False)
    with pytest.raises(InputError, match="was changed since it was written"):
        read_archive(moved)


def test_plain_h5py_opens_a_sealed_file(file: Path) -> None:
    with h5py.File(file) as found:
        assert found.userblock_size == SEAL_BYTES
        assert found.attrs["format"] == "grs_evo archive"


# ---------------------------------------------------------------------------------------------------------------------
# what is not followed


def _virtual(found: h5py.File) -> None:
    layout = h5py.VirtualLayout(found["individuals/positions"].shape, "f8")
    layout[:] = h5py.VirtualSource("other.h5", "a", layout.shape)
    del found["individuals/positions"]
    found.create_virtual_dataset("individuals/positions", layout)


def _virtual_without_end(found: h5py.File) -> None:
    """Its shape is found by opening f-0.h5, f-1.h5, … which crashes HDF5 where the file is read through Python."""
    del found["individuals/positions"]
    space = h5py.h5s.create_simple((10, 3), (h5py.h5s.UNLIMITED, 3))
    space.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), block=(1, 3))
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_virtual(space, b"f-%b.h5", b"d", h5py.h5s.create_simple((1, 3)))
    h5py.h5d.create(found.id, b"individuals/positions", h5py.h5t.NATIVE_DOUBLE, space, made)


def _outside(found: h5py.File) -> None:
    del found["individuals/species"]
    found.create_dataset("individuals/species", (64,), "i4", external=[("/etc/passwd", 0, 256)])


def _soft(found: h5py.File) -> None:
    del found["run_file"]
    found["run_file"] = h5py.SoftLink("/basis")


def _external(found: h5py.File) -> None:
    del found["run_file"]
    found["run_file"] = h5py.ExternalLink("other.h5", "/basis")


def _dangling_group(found: h5py.File) -> None:
    found["more"] = h5py.SoftLink("/nothing")


def _huge(found: h5py.File) -> None:
    del found["individuals/positions"]
    found.create_dataset("individuals/positions", (10**12, 3), "f8")


def _chunked(found: h5py.File) -> None:
    data = found["individuals/value"][()]
    del found["individuals/value"]
    found.create_dataset("individuals/value", data=data, chunks=True, compression="gzip")


def _objects(found: h5py.File) -> None:
    del found["run_file"]
    found.create_dataset("run_file", data=["a", "b"], dtype=h5py.string_dtype())


def _references(found: h5py.File) -> None:
    found.create_dataset("r", data=found["basis"].ref, dtype=h5py.ref_dtype)


def _compound(found: h5py.File) -> None:
    found["c"] = np.zeros(2, [("a", "f8"), ("b", "i4")])


def _deep(found: h5py.File) -> None:
    group = found
    for _ in range(3000):
        group = group.create_group("g")


def _circle(found: h5py.File) -> None:
    found["individuals/again"] = found["individuals"]


def _named_type(found: h5py.File) -> None:
    found["t"] = np.dtype("f8")


def _attribute(found: h5py.File) -> None:
    found.attrs["elements"] = np.arange(4)


def _neither_true_nor_false(found: h5py.File) -> None:
    made = found["individuals/pbc"]
    raw = h5py.h5t.NATIVE_UINT8
    made.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.full(made.shape, 7, np.uint8), mtype=raw)


HOSTILE: dict[str, Callable[[h5py.File], None]] = {
    "keeps individuals/positions in another file": _virtual,
    "keeps individuals/species in another file": _outside,
    r"a link to another place \(run_file\)": _soft,
    r"a link to another place \(more\)": _dangling_group,
    "has no room for individuals/positions": _huge,
    "in chunks": _chunked,
    "something else than an array of numbers or a text in run_file": _objects,
    "a text in r": _references,
    "a text in c": _compound,
    "a text in g/g": _deep,
    "a text in individuals/again": _circle,
    "a text in t": _named_type,
    "an attribute 'elements' that is no number": _attribute,
}


@pytest.mark.parametrize("words", HOSTILE)
@pytest.mark.parametrize("seal", [True, False])
def test_files_of_others_are_refused(file: Path, tmp_path: Path, words: str, seal: bool) -> None:
    bad = changed(file, tmp_path / "bad.h5", HOSTILE[words], seal)
    with pytest.raises(InputError, match=words) as error:
        read_archive(bad)
    assert "\n" not in str(error.value)


def test_links_into_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    bad = changed(file, tmp_path / "bad.h5", _external)
    with pytest.raises(InputError, match="a link to another place"):
        read_archive(bad)


def test_truth_values_are_true_or_false(file: Path, tmp_path: Path) -> None:
    try:
        bad = changed(file, tmp_path / "bad.h5", _neither_true_nor_false)
    except (OSError, TypeError) as error:
        pytest.skip(f"this HDF5 does not write such a file: {error}")
    with pytest.raises(InputError):
        read_archive(bad)


@pytest.mark.parametrize("change", [_virtual, _virtual_without_end])
def test_virtual_datasets_never_crash(file: Path, tmp_path: Path, change: Callable[[h5py.File], None]) -> None:
    """In a process of its own, since what failed was the process: at once, or at its end."""
    changed(file, tmp_path / "bad.h5", change)
    code = """import ctypes, sys, grs_evo
try:
    grs_evo.read_archive(sys.argv[1])
except grs_evo.InputError as error:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(error))  # never let go
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bad.h5")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "in another file" in done.stdout


def test_targets_and_checkpoints_are_read_as_carefully(tmp_path: Path) -> None:
    made = archive(2)
    target = Target.from_structures([one.structure for one in made.individuals], made.basis)
    path = tmp_path / "target.h5"
    path.write_bytes(TargetData(made.basis, target, ()).to_file())

    def virtual(found: h5py.File) -> None:
        layout = h5py.VirtualLayout(found["target/weights"].shape, "f8")
        layout[:] = h5py.VirtualSource("other.h5", "a", layout.shape)
        del found["target/weights"]
        found.create_virtual_dataset("target/weights", layout)

    with pytest.raises(InputError, match="keeps target/weights in another file"):
        read_target(changed(path, tmp_path / "bad.h5", virtual))
    stored = Path(__file__).parent / "data" / "pinned" / "checkpoint-schema-1.h5"
    with pytest.raises(Damaged, match="a link to another place"):
        Checkpoint.from_bytes(changed(stored, tmp_path / "ckpt.h5", _soft).read_bytes())


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "long name", "empty"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        (path / "archive.h5").mkdir(parents=True)
    elif kind == "long name":
        path = tmp_path / ("n" * 300)
    else:
        path.touch()
    for read in (read_archive, read_target):
        with pytest.raises(InputError):
            read(path)


def test_images_are_read_whole() -> None:
    with pytest.raises(Damaged, match="no readable HDF5"):
        from_image(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(Damaged, match="no readable HDF5"):
        from_image(b"")


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
    found = unstack(dict(stacked(states, "islands")), "islands")
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
