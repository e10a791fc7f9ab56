"""Small structure files of all formats, and ways to damage them, for tests of the readers."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import write

Mutation = Callable[[random.Random, bytes], bytes]

ELEMENTS = ("Au", "Cu")
_ODD_WORDS = (
    b"nan", b"inf", b"-1", b"99999999999", b"1e308", b"1_0", b"0", b"Xx", b"Au", b"\xff\xfe", b"'", b'"', b"#", b"=",
    b"\xd9\xa3", b"1.5", b"12", b"ITEM:", b"loop_", b"data_x", b";", b"[", b"{", b"T", b"", b"C", b"2147483648",
)  # fmt: skip


def atoms(seed: int, n: int = 6) -> Atoms:
    """A cell of n atoms of two elements, sorted by element."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(5.0, 8.0, 3)) + np.tril(rng.uniform(-1.0, 1.0, (3, 3)), -1)
    return Atoms(["Au"] * (n // 3) + ["Cu"] * (n - n // 3), scaled_positions=rng.random((n, 3)), cell=cell, pbc=True)


def dump(seed: int, frames: int = 2) -> str:
    text = ""
    for frame in range(frames):
        one = atoms(seed + frame)
        text += f"ITEM: TIMESTEP\n{frame}\nITEM: NUMBER OF ATOMS\n{len(one)}\nITEM: BOX BOUNDS xy xz yz pp pp pp\n"
        text += "0 6.5 0.25\n0 7 -0.125\n0 8 0.5\nITEM: ATOMS id type element x y z\n"
        for k, (symbol, (x, y, z)) in enumerate(zip(one.symbols, one.positions, strict=True), start=1):
            text += f"{k} {1 + (symbol == 'Cu')} {symbol} {x:g} {y:g} {z:g}\n"
    return text


def data(seed: int) -> str:
    one = atoms(seed)
    text = f"LAMMPS data file\n\n{len(one)} atoms\n2 atom types\n\n0 6.5 xlo xhi\n0 7 ylo yhi\n0 8 zlo zhi\n"
    text += "\nMasses\n\n1 196.97 # Au\n2 63.546 # Cu\n\nAtoms # charge\n\n"
    for k, (symbol, (x, y, z)) in enumerate(zip(one.symbols, one.positions, strict=True), start=1):
        text += f"{k} {1 + (symbol == 'Cu')} 0.5 {x:g} {y:g} {z:g}\n"
    return text


def cif(seed: int) -> str:
    one = atoms(seed)
    text = "data_x\n_chemical_formula_sum 'Au2 Cu4'\n_cell_formula_units_Z 1\n"
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lengths = zip(names, one.cell.cellpar(), strict=True)
    text += "".join(f"_cell_{name} {value:.6f}\n" for name, value in lengths)
    text += "_space_group_name_H-M_alt 'P 1'\n_space_group_IT_number 1\n\nloop_\n_space_group_symop_operation_xyz\n"
    text += "'x, y, z'\n\nloop_\n_atom_site_type_symbol\n_atom_site_label\n_atom_site_occupancy\n"
    text += "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
    for k, (symbol, (x, y, z)) in enumerate(zip(one.symbols, one.get_scaled_positions(), strict=True), start=1):
        text += f"{symbol} {symbol}{k} 1.0 {x:.6f} {y:.6f} {z:.6f}\n"
    return text


def fitsnap(seed: int) -> str:
    one = atoms(seed)
    configuration = {
        "AtomTypes": list(one.symbols),
        "NumAtoms": len(one),
        "Positions": one.positions.round(6).tolist(),
        "Lattice": one.cell.tolist(),
    }
    inside = {"Data": [configuration], "LatticeStyle": "angstrom", "PositionsStyle": "angstrom"}
    return "# comment\n" + json.dumps({"Dataset": inside}, indent=1)


def atat(seed: int) -> str:
    one = atoms(seed)
    vectors = "1.000000 0.000000 0.000000\n0.000000 1.000000 0.000000\n0.000000 0.000000 1.000000\n"
    vectors += "".join("{:.6f} {:.6f} {:.6f}\n".format(*row) for row in one.cell)
    rows = zip(one.positions, one.symbols, strict=True)
    return vectors + "".join("{:.6f} {:.6f} {:.6f} {}\n".format(*place, symbol) for place, symbol in rows)


@cache
def sound() -> dict[str, bytes]:
    """A sound file of each format by its name."""
    files: dict[str, bytes] = {
        "dump.lammpstrj": dump(1).encode(),
        "a.data": data(2).encode(),
        "a.cif": cif(3).encode(),
        "fit.json": fitsnap(4).encode(),
        "bestsqs.out": atat(5).encode(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, images, format in (
            ("two.extxyz", [atoms(6), atoms(7)], "extxyz"),
            ("POSCAR", atoms(8), "vasp"),
            ("XDATCAR", [atoms(9)] * 2, "vasp-xdatcar"),
            ("a.gen", atoms(10), "gen"),
            ("a.traj", [atoms(11), atoms(12)], "traj"),
            ("ase.json", atoms(13), "json"),
            ("a.db", atoms(14), "db"),
            ("a.cfg", atoms(15), "cfg"),
            ("a.xsf", atoms(16), "xsf"),
            ("a.res", atoms(17), "res"),
        ):
            path = Path(folder, name)
            write(path, images, format=format)
            files[name] = path.read_bytes()
    files["packed.extxyz.gz"] = gzip.compress(files["two.extxyz"])
    files["packed.cif.bz2"] = bz2.compress(files["a.cif"])
    files["packed.dump.xz"] = lzma.compress(files["dump.lammpstrj"])
    return files


# The line of an atom in each text file that tells how many it has.
ATOM_LINES = {
    "two.extxyz": 4, "dump.lammpstrj": 11, "a.data": 18, "a.cif": 28, "POSCAR": 10, "XDATCAR": 10, "a.gen": 4,
}  # fmt: skip


def _lines(rng: random.Random, content: bytes) -> tuple[list[bytes], int]:
    lines = content.split(b"\n")
    return lines, rng.randrange(len(lines))


def drop_line(rng: random.Random, content: bytes) -> bytes:
    lines, k = _lines(rng, content)
    return b"\n".join(lines[:k] + lines[k + 1 :])


def repeat_line(rng: random.Random, content: bytes) -> bytes:
    lines, k = _lines(rng, content)
    return b"\n".join([*lines[: k + 1], *lines[k:]])


def blank_line(rng: random.Random, content: bytes) -> bytes:
    lines, k = _lines(rng, content)
    return b"\n".join([*lines[:k], rng.choice((b"", b"   ", b"\t")), *lines[k:]])


def swap_lines(rng: random.Random, content: bytes) -> bytes:
    lines, k = _lines(rng, content)
    j = rng.randrange(len(lines))
    lines[k], lines[j] = lines[j], lines[k]
    return b"\n".join(lines)


def change_word(rng: random.Random, content: bytes) -> bytes:
    lines, k = _lines(rng, content)
    words = lines[k].split(b" ")
    words[rng.randrange(len(words))] = rng.choice(_ODD_WORDS)
    lines[k] = b" ".join(words)
    return b"\n".join(lines)


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def cut_near_end(rng: random.Random, content: bytes) -> bytes:
    return content[: -rng.randrange(1, 12)]


def change_bytes(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 4, 32))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def append(rng: random.Random, content: bytes) -> bytes:
    return content + rng.choice((b"0.1 0.2 0.3\n", b"Cu 0 0 0\n", b"garbage\n", content, b"\n\n\n", b"\0\0", b"7"))


def other_file(rng: random.Random, content: bytes) -> bytes:
    """Behind another format's."""
    return content + rng.choice(list(sound().values()))


def deep(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content))
    return content[:place] + rng.choice((b"[", b"{", b'"', b"(")) * 20_000 + content[place:]


MUTATIONS: tuple[Mutation, ...] = (
    drop_line, repeat_line, blank_line, swap_lines, change_word, change_word, cut, cut_near_end, change_bytes, append,
    other_file, deep,
)  # fmt: skip


def write_file(folder: Path, name: str, content: bytes) -> Path:
    """A file of its own folder, so that none is beside another."""
    place = Path(tempfile.mkdtemp(dir=folder))
    path = place / name
    path.write_bytes(content)
    return path
