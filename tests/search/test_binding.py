"""Options, elements and a target become a source; what cannot be is an error that names the key."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from grs_evo.errors import InputError
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.structures.structure import Structure, from_atoms
from search.candidate_cases import ALLOY, draw


def test_lattice_candidates_of_a_known_crystal():
    target = from_atoms(
        Atoms(
            "AuCu3", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], cell=3 * [3.75], pbc=1
        ),
        ALLOY,
    )
    source = bind(CandidateOptions(), ALLOY, [target])  # parent found from the target: fcc, 2x2x2 conventional cells
    assert source.templates[0].n_atoms == 32
    assert source.one_lattice
    assert np.allclose(source.templates[0].cell, 7.5 * np.eye(3))
    for one in draw(source):
        assert one.counts(2).tolist() == [8, 24]
    by_name = bind(CandidateOptions(lattice="fcc"), ALLOY, [target])  # lattice constant from the density
    assert np.allclose(by_name.templates[0].cell, 7.5 * np.eye(3))
    anything = bind(CandidateOptions(composition="free"), ALLOY, [target])
    assert len({one.counts(2)[0] for one in draw(anything, 20)}) > 8


def test_supercell_candidates_and_sublattices(tmp_path):
    options = CandidateOptions(
        kind="supercells", lattice="hcp", a=3.0, sizes=(4, 8), composition="free", sites=(("Au",), ("Au", "Cu"))
    )
    source = bind(options, ALLOY)
    assert {one.n_atoms for one in source.templates} == {4, 6, 8}
    for one in draw(source, 10):
        assert (one.species[::2] == 0).all()
    # The parent cell from a file, with a pinned site.
    write(tmp_path / "parent.vasp", bulk("NaCl", "rocksalt", a=5.0))
    options = CandidateOptions(
        lattice="file", file="parent.vasp", composition="free", pinned={"3": "Cu"}, repeat=(2, 1, 1), endpoints=False
    )
    source = bind(options, ALLOY, folder=tmp_path)
    made = draw(source, 10)
    assert all(one.n_atoms == 4 and one.species[3] == 1 and 0 in one.species for one in made)


WIRE = Structure(np.zeros((1, 3)), 9 * np.eye(3), np.zeros(1, np.int32), np.array([False, False, True]))


@pytest.mark.parametrize(
    ("options", "targets", "message"),
    [
        (
            {"counts": {"Au": 3}, "lattice": "fcc", "a": 4.0},
            (),
            r"counts add up to 3 atoms .nearest possible: Au 32, Cu 0., but the cells have 32 sites",
        ),
        (
            {"kind": "random", "sizes": (4, 8), "counts": {"Au": 9}, "number_density": 0.05},
            (),
            "but the cells have 4 to 8 sites",
        ),
        ({"lattice": "foc", "a": 4.0, "composition": "free"}, (), "candidates.lattice: 'foc' .*did you mean 'fcc'"),
        ({"lattice": "fcc", "composition": "free"}, (), "candidates.number_density: must be given"),
        ({"lattice": "fcc", "composition": "free"}, (WIRE,), "its cell holds vacuum"),
        ({"lattice": "target", "composition": "free"}, (), "target has no structures"),
        ({"fractions": {"Au": 0.5}, "lattice": "fcc", "a": 4.0}, (), "candidates.fractions: add up to 0.5; must be 1"),
        ({"fractions": {"Ag": 1.0}, "lattice": "fcc", "a": 4.0}, (), "element 'Ag' is not in the basis"),
        ({"limits": {"Au": (0.6, 0.5)}, "lattice": "fcc", "a": 4.0}, (), "candidates.limits.Au"),
        ({"limits": {"Au": (0.0, 0.2), "Cu": (0.0, 0.2)}, "lattice": "fcc", "a": 4.0}, (), "1 must lie between"),
        ({"limits": {"Au": (0.51, 0.52)}, "lattice": "sc", "a": 4.0}, (), "no size fits"),
        ({"kind": "templates"}, (), "candidates.file: must name"),
        ({"kind": "templates", "file": "nowhere.xyz"}, (), r"candidates\.file: nowhere\.xyz: no such file"),
        ({"kind": "random", "number_density": 0.05, "composition": "free"}, (), "candidates.sizes: must be given"),
        ({"lattice": "fcc", "a": 4.0, "composition": "free", "sites": (("Au",),)}, (), "has 1 entries; the parent"),
        ({"lattice": "sc", "a": 4.0, "composition": "free", "sites": ((),)}, (), "is empty"),
        ({"lattice": "sc", "a": 4.0, "composition": "free", "pinned": {"99": "Au"}}, (), "site '99' does not exist"),
        ({"lattice": "sc", "a": 4.0, "fractions": {"Au": 1.0}, "pinned": {"0": "Cu"}}, (), "cannot hold"),
        ({"lattice": "sc", "a": 4.0, "composition": "free", "fixed": (0, 8)}, (), "fixed: site 8 does not exist"),
        ({"lattice": "sc", "a": 4.0, "composition": "free", "fixed": (-1,)}, (), "fixed: site -1 does not exist"),
        (
            {"kind": "random", "sizes": (4, 8), "number_density": 0.05, "composition": "free", "fixed": (0,)},
            (),
            "fixed: needs one cell, but random cells have no sites",
        ),
        (
            {"kind": "supercells", "lattice": "fcc", "a": 4.0, "sizes": (4, 4), "composition": "free", "fixed": (0,)},
            (),
            "fixed: needs one cell, but there are 7 templates",
        ),
        (
            {"kind": "supercells", "lattice": "fcc", "a": 4.0, "sizes": (2, 2), "height": 9.0, "composition": "free"},
            (),
            "no supercell",
        ),
        ({"lattice": "sc", "a": 2.0, "repeat": (1, 1, 1), "composition": "free", "height": 5.0}, (), "at least 5 Å"),
    ],
)
def test_bad_input_is_named(options, targets, message):
    with pytest.raises(InputError, match=message) as caught:
        bind(CandidateOptions(**options), ALLOY, targets)
    assert "\n" not in str(caught.value)


def test_unreadable_file_is_named(tmp_path):
    (tmp_path / "broken.extxyz").write_text("this is\nno structure\n")
    with pytest.raises(InputError, match=r"candidates\.file: .*broken\.extxyz: line 1: "):
        bind(CandidateOptions(kind="templates", file="broken.extxyz"), ALLOY, folder=tmp_path)


def test_files_of_candidates_take_an_index(tmp_path):
    write(tmp_path / "fe.extxyz", [Atoms("Au", cell=[3 + k] * 3, pbc=True) for k in range(4)])
    source = bind(CandidateOptions(kind="templates", file="fe.extxyz@1:3"), ALLOY, folder=tmp_path)
    assert [one.cell[0, 0] for one in source.templates] == [4, 5]
    with pytest.raises(InputError, match=r"candidates\.file: fe\.extxyz@x: 'x' is no index"):
        bind(CandidateOptions(kind="templates", file="fe.extxyz@x"), ALLOY, folder=tmp_path)


def test_a_parent_cell_of_numbered_types_has_sites_but_templates_need_elements(tmp_path):
    (tmp_path / "cell.data").write_text(
        "# cell\n\n1 atoms\n1 atom types\n0 4 xlo xhi\n0 4 ylo yhi\n0 4 zlo zhi\n\nAtoms # atomic\n\n1 1 0 0 0\n"
    )
    bind(CandidateOptions(lattice="file", file="cell.data", composition="free"), ALLOY, folder=tmp_path)
    with pytest.raises(InputError, match="atom types without elements"):
        bind(CandidateOptions(kind="templates", file="cell.data"), ALLOY, folder=tmp_path)
