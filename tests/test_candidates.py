"""Candidates keep their promises, whatever is asked; what cannot be is an error at once or a counted failure."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.geometry import get_distances
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.errors import InputError
from grs_evo.kernels.geometry.hermite import image_codes
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.parents import PARENTS, parent_cell
from grs_evo.search.candidates.source import CandidateOptions, candidate
from grs_evo.search.candidates.supercells import (
    build,
    distinct_forms,
    heights,
    hermite_forms,
    number_of_forms,
    reduced,
    supercells,
)
from grs_evo.structures.composition import (
    Composition,
    assignable,
    clip,
    draw_occupation,
    free,
    largest_remainder,
    repair,
)
from grs_evo.structures.structure import Structure, from_atoms, to_atoms
from grs_evo.structures.symmetry import rotations

ALLOY = ("Au", "Cu")


def rng(seed=0):
    return np.random.default_rng(seed)


def draw(source, count=5, seed=0):
    made = [candidate(rng(seed + k), source) for k in range(count)]
    assert all(one is not None for one in made)
    return made


def shortest(structure: Structure) -> float:
    """Slow and obvious: all images to three cells away."""
    atoms = to_atoms(structure, ["H"] * 10)
    best = np.inf
    shifts = [np.array(s) @ structure.cell for s in np.ndindex(7, 7, 7) if (structure.pbc | (np.array(s) == 3)).all()]
    shifts = [s - 3 * structure.cell.sum(0) for s in shifts]
    for shift in shifts:
        d = np.linalg.norm(atoms.positions[:, None] - atoms.positions[None] + shift, axis=2)
        d[d < 1e-9] = np.inf
        best = min(best, float(d.min()))
    return best


# ---- supercells


def test_counts_of_hermite_forms_and_distinct_supercells():
    """Hart and Forcade, Phys. Rev. B 77, 224115 (2008), table IV, and OEIS A001001, A003051, A045790 …"""
    assert [len(hermite_forms(n)) for n in range(1, 13)] == [1, 7, 13, 35, 31, 91, 57, 155, 130, 217, 133, 455]
    expected = {
        "fcc": [1, 2, 3, 7, 5, 10, 7, 20, 14, 18],
        "bcc": [1, 2, 3, 7, 5, 10, 7, 20, 14, 18],
        "sc": [1, 3, 3, 9, 5, 13, 7, 24, 14, 23],
        "hcp": [1, 3, 5, 11, 7, 19, 11, 34, 23, 33],
        "diamond": [1, 2, 3, 7, 5, 10, 7, 20, 14, 18],
    }
    for name in PARENTS:
        operations = rotations(*parent_cell(name, 4.0, cubic=False))
        assert [len(distinct_forms(n, operations)) for n in range(1, 11)] == expected[name], name


def test_forms_are_counted_without_making_them():
    assert [number_of_forms(n) for n in range(1, 25)] == [len(hermite_forms(n)) for n in range(1, 25)]


def test_too_many_supercells_are_refused_at_once():
    began = time.monotonic()
    with pytest.raises(InputError, match=r"^candidates\.sizes: are 1 to 200 atoms, .* take a narrower range$"):
        bind(CandidateOptions(kind="supercells", lattice="fcc", a=4.0, sizes=(1, 200), composition="free"), ALLOY)
    assert time.monotonic() - began < 5.0


def test_classes_of_large_supercells():
    """Every form is an image of exactly one of those that are kept."""
    operations = rotations(*parent_cell("fcc", 4.0, cubic=False))
    forms = distinct_forms(36, operations)
    codes = {tuple(one.ravel()) for one in forms}
    assert len(codes) == len(forms)
    images = image_codes(forms, operations, 36)
    assert all(not set(images[i]) & set(images[j]) for i in range(len(forms)) for j in range(i))
    assert len(np.unique(images)) == number_of_forms(36)


def test_supercells_hold_the_parent_and_nothing_else():
    cell, sites = parent_cell("hcp", 3.2)
    for one in supercells(cell, sites, (2, 12)):
        assert one.volume == pytest.approx(abs(np.linalg.det(cell)) / 2 * one.n_atoms)
        # Every atom is on a parent site of its own index modulo 2.
        fractional = one.positions @ np.linalg.inv(cell) - sites[np.arange(one.n_atoms) % 2]
        assert np.allclose(fractional, np.rint(fractional), atol=1e-9)
        own = one.positions @ np.linalg.inv(one.cell)
        delta = own[:, None] - own[None]
        delta -= np.rint(delta)
        assert (np.linalg.norm(delta @ one.cell, axis=2) + 9 * np.eye(one.n_atoms)).min() > 3.0
    tall = supercells(*parent_cell("fcc", 4.0, cubic=False), (8, 8), min_height=4.0)
    assert 0 < len(tall) < 20
    assert all(heights(one.cell).min() >= 4.0 - 1e-9 for one in tall)


def test_parents_are_the_usual_crystals():
    for name in PARENTS:
        for cubic in (True, False):
            cell, sites = parent_cell(name, 4.0, cubic=cubic)
            mine = build(cell, sites, np.eye(3, dtype=int), compact=False)
            theirs = bulk("Cu", name, a=4.0, c=4.0 * np.sqrt(8 / 3)) if name == "hcp" else bulk("Cu", name, a=4.0)
            assert mine.volume / mine.n_atoms == pytest.approx(theirs.get_volume() / len(theirs))
            crowd = make_supercell(theirs, 3 * np.eye(3))
            expected = np.sort(crowd.get_all_distances(mic=True)[0])[1]
            assert shortest(mine) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=9, max_size=9))
def test_reduction_keeps_the_lattice(entries):
    matrix = np.array(entries, float).reshape(3, 3) + 6 * np.eye(3)
    if abs(np.linalg.det(matrix)) < 1:
        return
    compact, m = reduced(matrix)
    assert abs(round(np.linalg.det(m))) == 1
    assert np.allclose(m @ matrix, compact)
    assert (compact**2).sum() <= (matrix**2).sum() + 1e-9


# ---- composition


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(1, 60))
def test_largest_remainder(parts, n):
    fractions = np.array(parts) + 1e-3
    fractions /= fractions.sum()
    counts = largest_remainder(fractions, n)
    assert counts.sum() == n
    assert (np.abs(counts - fractions * n) < 1 + 1e-6).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=4), st.data())
def test_clipped_counts_keep_sum_and_bounds(entries, data):
    counts = np.array(entries)
    low = np.array([data.draw(st.integers(0, 3)) for _ in entries])
    high = low + np.array([data.draw(st.integers(0, 12)) for _ in entries])
    if not low.sum() <= counts.sum() <= high.sum():
        return
    result = clip(counts, low, high)
    assert result.sum() == counts.sum()
    assert (result >= low).all()
    assert (result <= high).all()


def rules(n_elements):
    low, high = np.full(n_elements, 0.1), np.full(n_elements, 0.7)
    fractions = np.arange(1.0, n_elements + 1)
    fractions /= fractions.sum()
    return st.sampled_from(
        [
            free(n_elements),
            free(n_elements, endpoints=False),
            Composition("limits", low, high),
            Composition("fractions", fractions, fractions),
        ]
    )


@settings(max_examples=50, deadline=None)
@given(rules(3), st.integers(6, 40), st.integers(0, 1000), st.booleans())
def test_occupations_keep_rule_and_mask(rule, n, seed, masked):
    allowed = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 1]], bool) if masked else None
    species = draw_occupation(rng(seed), rule, allowed, n)
    assert species is not None
    assert rule.admits(np.bincount(species, minlength=3))
    if masked:
        assert allowed[np.arange(n) % 3, species].all()


@settings(max_examples=40, deadline=None)
@given(rules(3), st.integers(6, 30), st.integers(0, 1000))
def test_repair_changes_no_more_than_needed(rule, n, seed):
    generator = rng(seed)
    species = generator.integers(0, 3, n).astype(np.int32)
    fixed = repair(generator, species, rule, None)
    before, after = np.bincount(species, minlength=3), np.bincount(fixed, minlength=3)
    assert rule.admits(after)
    assert (fixed != species).sum() == np.maximum(after - before, 0).sum()


def test_repair_goes_through_a_third_element():
    # Site 0 may only exchange 0 for 1, site 1 only 1 for 2: an atom of 0 becomes 2 in two steps.
    allowed = np.array([[1, 1, 0], [0, 1, 1]], bool)
    wanted = np.array([0.0, 0.5, 0.5])
    fixed = repair(rng(), np.array([0, 1], np.int32), Composition("fractions", wanted, wanted), allowed)
    assert fixed.tolist() == [1, 2]
    assert not assignable(np.array([2, 0, 0]), allowed)
    assert assignable(np.array([1, 0, 1]), allowed)


# ---- sources


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


@pytest.mark.parametrize("shape", ["cubic", "orthorhombic", "triclinic"])
def test_random_cells_keep_size_density_and_distances(shape):
    options = CandidateOptions(
        kind="random", sizes=(4, 30), number_density=0.05, density=(0.9, 1.1), min_distance=2.2, shape=shape,
        fractions={"Au": 0.25, "Cu": 0.75},
    )  # fmt: skip
    source = bind(options, ALLOY)
    sizes = set()
    for one in draw(source, 12):
        sizes.add(one.n_atoms)
        assert 0.045 <= one.n_atoms / one.volume <= 0.055
        assert shortest(one) >= 2.2
        assert np.array_equal(one.counts(2), largest_remainder(np.array([0.25, 0.75]), one.n_atoms))
    assert len(sizes) > 4


def test_liquid_density_is_packed_fast():
    options = CandidateOptions(kind="random", sizes=(20, 72), number_density=0.0503, min_distance=2.5, shape="cubic")
    source = bind(options, ("Ta",))
    draw(source, 1)
    causes: Counter = Counter()
    began = time.process_time()
    made = [candidate(rng(k), source, lambda cause: causes.update([cause])) for k in range(40)]
    assert all(one is not None for one in made)
    assert time.process_time() - began < 2.0
    assert sum(causes.values()) <= 40


def test_what_cannot_be_packed_is_counted_or_refused():
    with pytest.raises(InputError, match="random packing reaches"):
        bind(CandidateOptions(kind="random", sizes=(20, 20), number_density=0.05, min_distance=3.1), ("Ta",))
    # Just below what can be refused up front: nothing found, every try counted, and soon over.
    source = bind(CandidateOptions(kind="random", sizes=(30, 30), number_density=0.05, min_distance=2.95), ("Ta",))
    causes: Counter = Counter()
    began = time.process_time()
    assert candidate(rng(), source, lambda cause: causes.update([cause])) is None
    assert sum(causes.values()) == 20
    assert set(causes) <= {"packing", "height"}
    assert time.process_time() - began < 20.0


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


def test_templates_are_kept_or_occupied_and_rattled(tmp_path):
    frames = [bulk("Cu", cubic=True), bulk("Au", cubic=True) * (2, 1, 1)]
    write(tmp_path / "templates.extxyz", frames)
    source = bind(CandidateOptions(kind="templates", file="templates.extxyz"), ALLOY, folder=tmp_path)
    assert {(one.n_atoms, *one.counts(2)) for one in draw(source, 10)} == {(4, 0, 4), (8, 8, 0)}
    options = CandidateOptions(
        kind="templates", file="templates.extxyz", fractions={"Au": 0.5, "Cu": 0.5}, rattle=0.05, rattled=0.5
    )
    source = bind(options, ALLOY, folder=tmp_path)
    moved = []
    for one in draw(source, 20):
        assert one.counts(2)[0] == one.n_atoms / 2
        ideal = frames[0] if one.n_atoms == 4 else frames[1]
        moved.append(float(np.abs(one.positions - ideal.positions).max()))
    assert 0 < sum(shift == 0.0 for shift in moved) < 20
    assert max(moved) < 0.3


def test_same_stream_same_candidate():
    source = bind(CandidateOptions(kind="random", sizes=(10, 20), number_density=0.05, composition="free"), ALLOY)
    a, b = candidate(rng(5), source), candidate(rng(5), source)
    assert np.array_equal(a.positions, b.positions)
    assert np.array_equal(a.species, b.species)


WIRE = Structure(np.zeros((1, 3)), 9 * np.eye(3), np.zeros(1, np.int32), np.array([False, False, True]))


@pytest.mark.parametrize(
    ("options", "targets", "message"),
    [
        (
            {"counts": {"Au": 3}, "lattice": "fcc", "a": 4.0},
            (),
            "counts add up to 3 atoms, but the cells have 32 sites",
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": {"Au": 1}, "fractions": {"Au": 1.0}}, "only one of"),
        ({"sizes": (5, 4)}, "smallest <= largest"),
        ({"repeat": (0, 1, 1)}, "repeat"),
    ],
)
def test_contradictions_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        CandidateOptions(**options)


def test_distances_agree_with_ase():
    source = bind(CandidateOptions(kind="random", sizes=(12, 12), number_density=0.05), ("Ta",))
    one = draw(source, 1)[0]
    _, d = get_distances(one.positions, cell=one.cell, pbc=True)
    assert shortest(one) == pytest.approx(min(d[np.triu_indices(12, 1)].min(), np.linalg.norm(one.cell, axis=1).min()))
