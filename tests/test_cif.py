"""CIF: occupancies, settings of space groups, what the file says of its formula, the time of large files."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mutated
import numpy as np
import pytest
from ase.io import read as ase_read
from ase.spacegroup import Spacegroup

from grs_evo.errors import InputError
from grs_evo.structures.reading import Entry, each_atoms, read_structures
from grs_evo.structures.symmetry import all_settings, operations_of

CUBIC = (5.4, 5.4, 5.4, 90, 90, 90)
RHOMBOHEDRAL = (4, 4, 4, 60, 60, 60)
_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def cif(
    group: str = "",
    sites: str = "Cu1 Cu 0 0 0 1",
    cell: tuple[float, ...] = CUBIC,
    operations: str = "",
    more: str = "",
) -> str:
    text = "data_x\n" + "".join(f"_cell_{tag} {x}\n" for tag, x in zip(_TAGS, cell, strict=True)) + more
    if group:
        text += f"_symmetry_space_group_name_H-M '{group}'\n"
    if operations:
        text += "loop_\n_symmetry_equiv_pos_as_xyz\n" + "".join(f"'{one}'\n" for one in operations.split("; "))
    text += "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
    return text + "_atom_site_fract_z\n_atom_site_occupancy\n" + sites.replace("; ", "\n") + "\n"


def read(folder: Path, text: str) -> list[Entry]:
    (folder / "a.cif").write_text(text)
    return read_structures(folder / "a.cif", mutated.ELEMENTS)


@pytest.mark.parametrize(
    ("sites", "words"),
    [
        ("Cu1 Cu 0 0 0 0.75; Au1 Au 0 0 0 0.25", r"Cu1 and Au1 at \(0, 0, 0\) is shared by several elements: Cu 0.75"),
        ("Cu1 Cu 0 0 0 1; Au1 Au 0 0 1.0 1", "Cu1 and Au1 .* holds more than one atom: Cu 1, Au 1"),
        ("Cu1 Cu 0 0 0 0.9", r"site Cu1 at \(0, 0, 0\) is occupied in part: Cu 0.9"),
        ("Cu1 Cu 0 0 0 0.5(1); Cu2 Cu 0.5 0.5 0.5 1", "occupied in part"),
        ("Cu1 Cu 0 0 0 1; Au1 Au 0 0.5 0.5 1", "the site at .* is shared by Cu and Au: by symmetry"),
    ],
)  # fmt: skip
def test_mixed_and_partial_sites_are_refused(tmp_path: Path, sites: str, words: str) -> None:
    group = "F m -3 m" if "by symmetry" in words else "P 1"
    with pytest.raises(InputError, match=words):
        read(tmp_path, cif(group, sites))


def test_mixed_sites_are_the_lattice_of_an_alloy(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(cif("F m -3 m", "Cu1 Cu 0 0 0 0.75; Au1 Au 0 0 0 0.25"))
    ((_, _, atoms),) = each_atoms(tmp_path / "a.cif", nameless=True)
    assert len(atoms) == 4


@pytest.mark.parametrize(
    "sites", ["Cu1 Cu 0 0 0 1.0000(3)", "Cu1 Cu2+ 0 0 0 ?", "Cu1 CU 0 0 0 .", "Cu1 Cu 0.0(1) 0 1 1"]
)
def test_full_sites(tmp_path: Path, sites: str) -> None:
    (entry,) = read(tmp_path, cif("F m -3 m", sites))
    assert entry.structure.species.tolist() == [1] * 4


@pytest.mark.parametrize(
    ("group", "site", "cell", "n"),
    [
        ("F d -3 m :1", "0 0 0", CUBIC, 8),
        ("F d -3 m :2", "0 0 0", CUBIC, 16),
        ("F d -3 m :2", "0.125 0.125 0.125", CUBIC, 8),
        ("Fd-3m Z", "0.125 0.125 0.125", CUBIC, 8),
        ("R -3 m", "0 0 0", RHOMBOHEDRAL, 1),
        ("R -3 m :R", "0 0 0", RHOMBOHEDRAL, 1),
        ("R -3 m :H", "0 0 0", (4, 4, 9, 90, 90, 120), 3),
        ("R-3m", "0 0 0", (4, 4, 9, 90, 90, 120), 3),
        ("P 21/n", "0.1 0.2 0.3", (4, 5, 6, 90, 100, 90), 4),
        ("P 1 21/c 1", "0.1 0.2 0.3", (4, 5, 6, 90, 100, 90), 4),
        ("P b n m", "0 0 0", (4, 5, 6, 90, 90, 90), 4),
        ("Fm3m", "0 0 0", CUBIC, 4),
        ("C m c a", "0 0 0", (4, 5, 6, 90, 90, 90), 4),
    ],
)
def test_groups_by_their_names(tmp_path: Path, group: str, site: str, cell: tuple[float, ...], n: int) -> None:
    (entry,) = read(tmp_path, cif(group, f"Cu1 Cu {site} 1", cell))
    assert entry.structure.n_atoms == n


def test_a_named_setting_has_its_own_operations(tmp_path: Path) -> None:
    """P 21/n is not P 21/c: its glide plane moves along the diagonal."""
    (entry,) = read(tmp_path, cif("P 1 21/n 1", "Cu1 Cu 0.1 0.2 0.3 1", (4, 5, 6, 90, 90, 90)))
    found = {tuple(np.round(row, 6)) for row in entry.structure.positions / [4, 5, 6]}
    assert found == {(0.1, 0.2, 0.3), (0.4, 0.7, 0.2), (0.9, 0.8, 0.7), (0.6, 0.3, 0.8)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (cif("F d -3 m"), r"may be F d -3 m :1 or F d -3 m :2: its setting .* is not told"),
        (cif("F d -3 m", more="_symmetry_Int_Tables_number 225\n"), "no known name of space group 225"),
        (cif("Q q q"), "no known name"),
        (cif("R -3 m", cell=(4, 5, 6, 90, 90, 90)), "the cell does not have the symmetry"),
        (cif("P 1", more="_chemical_formula_sum 'Cu4'\n_cell_formula_units_Z 1\n"), "announces Cu4 .* make Cu1"),
        (cif("F m -3 m", more="_chemical_formula_sum 'Cu'\n_cell_formula_units_Z 2\n"), "Cu1 with 2 .* make Cu4"),
        (cif("P 1", more="_chemical_formula_sum 'Cu Au'\n"), "announces Cu1 Au1"),
        (cif("P 1", "Cu1 Cu 0 0 0 1; Cu2 Cu 0.5 0.5"), "line 17: the loop _atom_site_label ends with 10 values in 6"),
        (cif("P 1", "Cu1 Cu 0 0 ? 1"), "'.' is no number; a coordinate"),
        (cif("P 1", "X1 ? 0 0 0 1"), "tells no element"),
        (cif("P 1", operations="x,y,z; -x,-y"), "is no symmetry operation"),
        (cif("P 1", cell=(0, 4, 4, 90, 90, 90)), "all must be above 0"),
        (cif("P 1").replace("_cell_length_a 5.4\n", ""), "not all six numbers"),
        ("Cu 0 0 0\n", "in front of the first data_ line"),
        ("data_x\n_cell_length_a\n", "has no value"),
    ],
)  # fmt: skip
def test_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


def test_a_formula_decides_between_origins(tmp_path: Path) -> None:
    more = "_chemical_formula_sum 'Cu8'\n_cell_formula_units_Z 8\n"
    assert read(tmp_path, cif("F d -3 m", more=more))[0].structure.n_atoms == 8
    more = "_chemical_formula_sum 'Cu'\n_cell_formula_units_Z 16\n"
    assert read(tmp_path, cif("F d -3 m", more=more))[0].structure.n_atoms == 16


def test_listed_operations_are_all_there_are(tmp_path: Path) -> None:
    """Whatever group the file names besides."""
    more = "_symmetry_Int_Tables_number 225\n"
    assert read(tmp_path, cif("F m -3 m", "Cu1 Cu 0.1 0 0 1", operations="x,y,z", more=more))[0].structure.n_atoms == 1


def test_blank_lines_rows_over_lines_and_several_blocks(tmp_path: Path) -> None:
    text = cif("P 1", "Cu1 Cu 0 0 0 1;   ; Au1 Au\n0.5 0.5\n0.5 1")
    entries = read(tmp_path, text + "\ndata_publication\n_journal_year 2020\n" + cif("P 1").replace("data_x", "data_y"))
    assert [entry.structure.species.tolist() for entry in entries] == [[1, 0], [1]]


def as_set(operations: Iterable[tuple[Any, Any]]) -> set[tuple[int, ...]]:
    """Operations as integers, translations in 24ths."""
    return {(*np.ravel(r).astype(int), *(np.round(np.asarray(t) * 24).astype(int) % 24)) for r, t in operations}


def test_standard_settings_are_those_of_ase() -> None:
    """By its number a group has the same operations from both."""
    for setting in all_settings():
        if setting.standard:
            ours = as_set(zip(*operations_of(setting.hall_number), strict=True))
            assert ours == as_set(Spacegroup(setting.number).get_symop()), setting.name


def test_a_large_cell_takes_seconds_and_has_the_bits_of_ase(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = "; ".join("Cu{} Cu {:.6f} {:.6f} {:.6f} 1".format(k, *rng.random(3)) for k in range(3000))
    cell = (30.0, 31.0, 32.0, 90, 95, 90)
    (tmp_path / "small.cif").write_text(cif("P 1", "; ".join(rows.split("; ")[:60]), cell))
    small = read_structures(tmp_path / "small.cif", mutated.ELEMENTS)[0].structure
    reference = ase_read(tmp_path / "small.cif")
    assert np.array_equal(small.positions, reference.positions)
    assert np.array_equal(small.cell, reference.cell[:])
    begin = time.process_time()
    assert read(tmp_path, cif("P 1", rows, cell))[0].structure.n_atoms == 3000
    assert time.process_time() - begin < 5.0
