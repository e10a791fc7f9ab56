"""Numbers in a file that make no sense are refused by name; what is accepted can be exported and reported."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from archives import archive
from hdf5_files import changed, replaced, set_value

from grs_evo.errors import InputError
from grs_evo.exporters.export import export
from grs_evo.report.report import write_report
from grs_evo.storage.archive_file import read_archive, write_archive
from grs_evo.storage.checks import Unsound, elements_of, json_of, names_of
from grs_evo.storage.target_file import TargetData, read_target
from grs_evo.structures.symmetry import ask_spglib
from grs_evo.targets.target import Target


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checked") / "archive.h5"
    write_archive(path, archive(6, elements=("Cu", "Au"), in_set=2))
    return path


_NAN, _INF = float("nan"), float("inf")
BAD = {
    "n_atoms has -1": set_value("individuals/n_atoms", 0, -1),
    "n_atoms has 0": set_value("set/n_atoms", 0, 0),
    "n_atoms has 1000000000000": set_value("individuals/n_atoms", 1, 10**12),
    "n_atoms add up to": set_value("individuals/n_atoms", 1, 1),
    "positions has nan; must be": set_value("individuals/positions", (3, 1), _NAN),
    "positions has inf": set_value("set/positions", (3, 1), _INF),
    r"positions has 1e\+300": set_value("individuals/positions", (3, 1), 1e300),
    r"positions has the shape \(3, 2\); must be \(any, 3\)": replaced("individuals/positions", np.zeros((3, 2))),
    "positions is missing": replaced("individuals/positions", None),
    "positions is of the wrong type": replaced("individuals/positions", "text"),
    "species has 2; must be from 0 to 1": set_value("individuals/species", 0, 2),
    "species has -1": set_value("individuals/species", 0, -1),
    "cells has nan": set_value("individuals/cells", (0, 1, 2), _NAN),
    "cells has one without a volume": set_value("individuals/cells", (0, 1), 0.0),
    "cells has a vector of 0.001": set_value("individuals/cells", 0, np.diag([5.0, 5.0, 1e-3])),
    r"pbc has the shape \(1, 3\)": replaced("individuals/pbc", np.ones((1, 3), bool)),
    "value has nan": set_value("individuals/value", 0, _NAN),
    r"terms has the shape \(6, 1\); must be \(6, 2\)": replaced("individuals/terms", np.zeros((6, 1))),
    r"objectives has the shape \(5, 3\); must be \(6, 3\)": replaced("individuals/objectives", np.zeros((5, 3))),
    "objectives has nan": set_value("individuals/objectives", (0, 0), _NAN),
    "objectives is missing": replaced("individuals/objectives", None),
    "uid has -7": set_value("individuals/uid", 0, -7),
    "parents has -2": set_value("individuals/parents", (0, 1), -2),
    "generation has -1": set_value("individuals/generation", 0, -1),
    "operator has signs": set_value("individuals/operator", 0, b"a\nb"),
    "line_length adds up": set_value("individuals/line_length", 0, 3),
    "line_length has -1": set_value("individuals/line_length", 0, -1),
    "line_n_atoms has 0": set_value("individuals/line_n_atoms", 0, 0),
    "line_operator has signs": set_value("individuals/line_operator", 0, b"\xff"),
    "best_value is not finite": set_value("history/best_value", 3, _NAN),
    "evaluations has -1": set_value("history/evaluations", 3, -1),
    r"diversity has the shape \(3,\)": replaced("history/diversity", np.zeros(3)),
    "island is missing": replaced("history/island", None),
    "moments_sums has nan": set_value("target/moments_sums", (0, 0), _NAN),
    "moments_counts has -1": set_value("target/moments_counts", 0, -1.0),
    "moments_mean has the shape": replaced("target/moments_mean", np.zeros(1)),
    "sample_species has 9": set_value("target/sample_species", 0, 9),
    "text is no JSON text": replaced("target/text", np.frombuffer(b"[" * 100_000, np.uint8)),
    "names is no list": replaced("target/text", np.frombuffer(b"{}", np.uint8)),
    "basis is no JSON text": replaced("basis", "[" * 100_000),
    "basis is no text": replaced("basis", np.zeros(2)),
    "no run_file": replaced("run_file", None),
    "elements is no JSON text": lambda found: found.attrs.update(elements="[" * 60_000),
    "elements has 'Xx'": lambda found: found.attrs.update(elements='["Cu", "Xx"]'),
    "elements is no list of names": lambda found: found.attrs.update(elements='{"a": 1}'),
    "elements is no text": lambda found: found.attrs.update(elements=3),
    "term_names has a name twice": lambda found: found.attrs.update(term_names='["mean", "mean"]'),
    "seed is 1.5": lambda found: found.attrs.update(seed=1.5),
    "no archive_hash": lambda found: found.attrs.pop("archive_hash"),
}


@pytest.mark.parametrize("words", BAD)
def test_an_archive_that_makes_no_sense_is_refused_by_name(file: Path, tmp_path: Path, words: str) -> None:
    bad = changed(file, tmp_path / "bad.h5", BAD[words])
    with pytest.raises(InputError, match=f"is no whole grs_evo archive file.*{words}") as error:
        read_archive(bad)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_target_that_makes_no_sense_is_refused_by_name(tmp_path: Path) -> None:
    made = archive(2)
    structures = tuple(one.structure for one in made.individuals)
    path = tmp_path / "target.h5"
    path.write_bytes(TargetData(made.basis, Target.from_structures(list(structures), made.basis), structures).to_file())
    assert read_target(path).n_environments == sum(one.n_atoms for one in structures)
    cases: dict[str, Any] = {
        "positions has nan": set_value("structures/positions", (0, 0), _NAN),
        "weights has -1": set_value("target/weights", 0, -1.0),
        "n_atoms has 0": set_value("target/n_atoms", 0, 0),
        "basis is no JSON text": replaced("basis", "[" * 100_000),
        "basis description": replaced("basis", "{}"),
        "no basis": replaced("basis", None),
        "moments_mean is missing": replaced("target/moments_mean", None),
    }
    for words, change in cases.items():
        with pytest.raises(InputError, match=words) as error:
            read_target(changed(path, tmp_path / "bad.h5", change))
        assert str(error.value).startswith(str(tmp_path / "bad.h5"))
        assert "\n" not in str(error.value)


def test_texts() -> None:
    assert json_of('{"a": [1]}', "x") == {"a": [1]}
    assert names_of('["a", "b"]', "x") == ("a", "b")
    assert elements_of('["Cu"]', "x") == ("Cu",)
    for text in ("[", "[" * 10**6, '["a", "a"]', '["a\\n"]', "[1]", '[""]'):
        with pytest.raises(Unsound):
            names_of(text, "x")
    with pytest.raises(Unsound, match="empty"):
        elements_of("[]", "x")


def test_spglib_is_never_asked_about_numbers_that_are_not_finite() -> None:
    cell, sites = np.eye(3), np.zeros((1, 3))
    assert ask_spglib("get_spacegroup", cell, sites, None) is not None
    for bad in (_NAN, _INF):
        assert ask_spglib("get_spacegroup", cell, sites + bad, None) is None
        assert ask_spglib("get_spacegroup", cell + bad, sites, None) is None


# ---------------------------------------------------------------------------------------------------------------------
# archives at random

_ODD = (_NAN, _INF, -_INF, -1, 0, 1, 2, 1e-300, 1e300, 1e6, 2**31, 2**62, -(2**63))
_ODD_TEXTS = ("", "[]", "{}", "[" * 5000, "null", '["Cu"]', '["Cu","Au","Ag"]', "\x00", "a\nb", "<b>x</b>", "é" * 300)


def _mutate(found: h5py.File, rng: np.random.Generator) -> str:
    """One change of a dataset or an attribute; returns what was done."""
    names: list[str] = []
    found.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    if rng.random() < 0.1:
        key = str(rng.choice([name for name in found.attrs if name != "format"]))
        value: Any = _ODD_TEXTS[rng.integers(len(_ODD_TEXTS))] if rng.random() < 0.7 else int(rng.integers(-3, 9))
        found.attrs[key] = str(value).replace("\x00", "") if isinstance(value, str) else value
        return f"attribute {key} = {str(value)[:20]!r}"
    name = str(rng.choice(names))
    if found[name].dtype.kind == "O":
        del found[name]
        found[name] = _ODD_TEXTS[rng.integers(len(_ODD_TEXTS))].replace("\x00", "")
        return f"{name} another text"
    data = found[name][()]
    way = rng.choice([0, 1, 2, 3, 3, 3, 3, 4, 4, 4, 4])
    if way == 0:
        del found[name]
        return f"{name} gone"
    if way == 1 and data.ndim:
        del found[name]
        found[name] = data[: rng.integers(len(data) + 1)]
        return f"{name} cut"
    if way == 2:
        del found[name]
        found[name] = data.astype(str(rng.choice(["f4", "i8", "f8", "u1"]))) if data.dtype.kind != "S" else np.zeros(2)
        return f"{name} of another type"
    if data.size == 0:
        return "nothing"
    place = np.unravel_index(rng.integers(data.size), data.shape)
    if way == 3:
        raw = bytearray(data.tobytes())
        raw[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        if data.dtype.kind != "b":
            found[name][...] = np.frombuffer(bytes(raw), data.dtype).reshape(data.shape)
        return f"{name} one bit"
    odd = _ODD[rng.integers(len(_ODD))]
    with np.errstate(all="ignore"):
        if data.dtype.kind == "S":
            found[name][place] = b"<i>\n\xff"[: data.dtype.itemsize]
        elif data.dtype.kind == "f" or np.isfinite(odd):
            low, high = (-_INF, _INF) if data.dtype.kind == "f" else (-(2**31), 2**31 - 1)
            found[name][place] = np.clip(odd, low, high)
    return f"{name}{[int(k) for k in place]} = {odd}"


def _try_archives(file: Path, folder: Path, count: int, first: int) -> dict[str, int]:
    """Mutated archives through reader, exporters and report; anything else than a clear refusal is raised."""
    said = {"refused": 0, "used": 0}
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        done: list[str] = []

        def change(found: h5py.File, rng: np.random.Generator = rng, done: list[str] = done) -> None:
            done.extend(_mutate(found, rng) for _ in range(rng.integers(1, 4)))

        bad = changed(file, folder / "archive.h5", change)
        try:
            found = read_archive(bad)
            for name in ("a.extxyz", "a.cif", "a.pwi"):
                with tempfile.TemporaryDirectory() as out:
                    export(found, Path(out) / name, top=3, unique=True)
            export(found, folder / "front.extxyz", which="pareto")
            if number % 4 == 0:  # the slowest
                write_report(bad, folder / "report.html")
            said["used"] += 1
        except InputError as error:
            said["refused" if "\n" not in str(error) else "refused in more than a line"] += 1
        except Exception as error:
            raise AssertionError(f"archive {number}: {'; '.join(done)}") from error
    return said


def test_mutated_archives_are_refused_or_can_be_used(file: Path, tmp_path: Path) -> None:
    said = _try_archives(file, tmp_path, 40, 0)
    assert min(said["refused"], said["used"]) > 5
    assert sum(said.values()) == 40


@pytest.mark.torture
def test_a_thousand_mutated_archives_are_refused_or_can_be_used(file: Path, tmp_path: Path) -> None:
    said = _try_archives(file, tmp_path, 1000, 1000)
    print(said)
    assert sum(said.values()) == 1000
