"""`.yace` files: LAMMPS's numbers from LAMMPS's files, ours written and read back, and what must be refused."""

from __future__ import annotations

import os
import re
from pathlib import Path

import ase.io
import naive
import numpy as np
import pytest
import yaml

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.descriptors.describe import describe
from grs_evo.descriptors.yace.file import read_yace, write_yace
from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure, from_atoms

ORACLE = Path(__file__).parent / "data" / "oracle"
CASES = sorted(p.name for p in ORACLE.iterdir() if p.is_dir())
CENTRES = {"a_AuCu3_L12_32": [5, 20], "a2_AuCu3_rattled_32": [5, 20], "b_Ta54_paper": [3], "b2_Ta54_innercut": [7]}


def load(case):
    basis = read_yace(ORACLE / case / "coupling_coefficients.yace")
    oracle = np.load(ORACLE / case / "oracle.npz", allow_pickle=False)
    structure = from_atoms(ase.io.read(ORACLE / case / "structure.extxyz"), basis.elements)
    return basis, oracle, structure


def test_oracle_is_complete():
    assert len(CASES) == 6


@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_lammps(case):
    basis, oracle, structure = load(case)
    centres = CENTRES.get(case, range(structure.n_atoms))
    assert basis.sizes == (oracle["B"].shape[1],) * basis.n_elements
    # columns that vanish by symmetry have no scale of their own
    scale = np.maximum(np.abs(oracle["B_analytic"]).max(axis=0), 1e-3)
    values = naive.descriptors(structure, basis, centres)
    for i in centres:
        np.testing.assert_array_less(np.abs(values[i] - oracle["B_analytic"][i]) / scale, 1e-12)
        np.testing.assert_array_less(np.abs(values[i] - oracle["B"][i]) / scale, 1e-8)
        element = structure.species[i]
        rows = naive.real_rows(naive.atomic_base(structure, basis, i), basis.n_of_l, basis.n_elements)
        by_program, _ = naive.run_program(basis.programs[element], rows[:, None])
        np.testing.assert_array_less(np.abs(by_program[:, 0] - oracle["B_analytic"][i]) / scale, 1e-12)


def test_energy_of_the_linear_potential():
    basis, oracle, structure = load("d_tric_AuCu_4")
    values = naive.descriptors(structure, basis)
    energy = sum(oracle["coef"][a] @ row for a, row in zip(structure.species, values, strict=True))
    assert abs(energy - oracle["E"]) < 1e-8 * abs(oracle["E"])


def test_radial_parameters_are_the_file_s():
    basis, _, _ = load("d_tric_AuCu_4")
    np.testing.assert_array_equal(basis.cutoff[0], [5.5, 5.3])
    np.testing.assert_array_equal(basis.lam[0], [1.4, 1.3])
    assert basis.lam[1, 1] == 1.2
    inner, _, _ = load("b2_Ta54_innercut")
    assert (inner.cutoff_in[0, 0], inner.taper_in[0, 0], inner.taper[0, 0]) == (2.7, 0.6, 0.01)


# --- writing ---------------------------------------------------------------------------------------------------------

SETTINGS = [
    (["Ta"], {}),
    (["Au", "Cu"], {"cutoff": {"Au-Au": 5.5, "Au-Cu": 5.3, "Cu-Au": 1 / 3 + 5, "Cu-Cu": 5.0}, "cutoff_in": 1.5}),
    (["Fe"], {"n_max": (2, 2, 2, 2, 1), "l_max": (0, 3, 3, 3, 2), "cutoff": 5.0, "taper": 1e-5}),
    (["Y", "N"], {"n_max": (1, 1, 1, 1, 1, 1), "l_max": (0, 1, 1, 1, 1, 1), "cutoff": 5.0}),
]


@pytest.mark.parametrize(("elements", "settings"), SETTINGS)
def test_what_is_written_reads_back_as_the_same_basis(elements, settings, tmp_path):
    basis = build_basis(elements, **settings)
    write_yace(basis, tmp_path / "x.yace")
    again = read_yace(tmp_path / "x.yace")
    assert again.hash == basis.hash
    assert again.labels == basis.labels
    assert again.mixing == (None,) * len(elements)


def plain(path):
    """A .yace as LAMMPS sees it, without our reader."""
    text = re.sub(r"^  \[(\d), (\d)\]:", r"  '\1 \2':", path.read_text(), flags=re.MULTILINE)
    return yaml.load(text, Loader=yaml.CSafeLoader)


@pytest.mark.parametrize(
    ("elements", "settings"), [(["Au", "Cu"], {"n_max": (3, 1, 1, 1), "l_max": (0, 2, 2, 1)}), SETTINGS[2]]
)
def test_written_functions_are_ours_when_read_to_the_letter(elements, settings, tmp_path):
    basis = build_basis(elements, **settings)
    write_yace(basis, tmp_path / "x.yace")
    rows = np.random.default_rng(5).standard_normal((basis.n_a, 1))
    A = naive.complex_base(rows[:, 0], basis.n_of_l, basis.n_elements)
    for element, entries in plain(tmp_path / "x.yace")["functions"].items():
        expected, _ = naive.run_program(basis.programs[element], rows)
        values = np.array([naive.file_function(entry, A) for entry in entries])
        np.testing.assert_allclose(values, expected[:, 0], rtol=1e-12, atol=1e-12)


def test_written_file_has_the_fields_of_fitsnap_s(tmp_path):
    reference = plain(ORACLE / "a_AuCu3_L12_32" / "coupling_coefficients.yace")
    basis = read_yace(ORACLE / "a_AuCu3_L12_32" / "coupling_coefficients.yace")
    write_yace(basis, tmp_path / "x.yace")
    written = plain(tmp_path / "x.yace")
    for part in ("elements", "E0", "deltaSplineBins", "embeddings", "bonds"):
        assert written[part] == reference[part], part
    for element in (0, 1):
        for ours, theirs in zip(written["functions"][element], reference["functions"][element], strict=True):
            assert list(ours) == list(theirs)
            for key in ("mu0", "rank", "ndensity", "mus", "ns", "ls"):
                assert ours[key] == theirs[key]
            assert all(isinstance(c, float) for c in ours["ctildes"])
            combine = {
                name: {
                    tuple(m): c
                    for m, c in zip(np.reshape(f["ms_combs"], (-1, f["rank"])).tolist(), f["ctildes"], strict=True)
                    if c != 0.0
                }
                for name, f in (("ours", ours), ("theirs", theirs))
            }
            assert combine["ours"] == pytest.approx(combine["theirs"], abs=1e-14)


def test_coefficients_and_constants(tmp_path):
    basis = build_basis(["Au", "Cu"], (3, 1, 1), (0, 1, 1), cutoff=5.0)
    rng = np.random.default_rng(6)
    coefs = [rng.standard_normal(size) * 1e-7 for size in basis.sizes]
    coefs[1][4] = 0.0
    write_yace(basis, tmp_path / "x.yace", coefs, e0=(-1.5, 2e-7))
    again = read_yace(tmp_path / "x.yace")
    assert again.e0 == (-1.5, 2e-7)
    assert [c.tolist() for c in again.coefficients] == [[1.0] * size for size in basis.sizes]
    rows = rng.standard_normal((basis.n_a, 1))
    for element in (0, 1):
        ours, _ = naive.run_program(basis.programs[element], rows)
        theirs, _ = naive.run_program(again.programs[element], rows)
        np.testing.assert_allclose(theirs[:, 0], coefs[element] * ours[:, 0], rtol=1e-12)
    # and once more: what was read can be written, zero function included
    write_yace(again, tmp_path / "y.yace")
    last = read_yace(tmp_path / "y.yace")
    theirs, _ = naive.run_program(last.programs[1], rows)
    np.testing.assert_allclose(theirs[:, 0], coefs[1] * ours[:, 0], rtol=1e-12)
    assert Basis.from_text(again.to_text()).e0 == again.e0
    with pytest.raises(InputError, match="coefs"):
        write_yace(basis, tmp_path / "z.yace", [[1.0], [1.0]])
    with pytest.raises(InputError, match="e0"):
        write_yace(basis, tmp_path / "z.yace", e0=[0.0])


# --- conventions a file may use --------------------------------------------------------------------------------------

HEAD = """elements: [Ta]
E0: [0.0]
deltaSplineBins: 0.001
embeddings:
  0: {ndensity: 1, FS_parameters: [1.0, 1.0], npoti: FinnisSinclair, rho_core_cutoff: 100000, drho_core_cutoff: 250}
bonds:
  [0, 0]: {nradmax: 2, lmax: 2, nradbasemax: 3, radbasename: ChebExpCos, radparameters: [1.4], \
radcoefficients: [[[1, 0, 0], [1, 0, 0], [1, 0, 0]], [[0, 1, 0], [0, 1, 0], [0, 1, 0]]], prehc: 0, lambdahc: 1.4, \
rcut: 5.5, dcut: 0.01, rcut_in: 0.0, dcut_in: 0.01, inner_cutoff_type: distance}
functions:
  0:
"""
RANK1 = (
    "    - {mu0: 0, rank: 1, ndensity: 1, num_ms_combs: 1, mus: [0], ns: [3], ls: [0], ms_combs: [0], ctildes: [1.0]}\n"
)
RANK2 = (
    "    - {mu0: 0, rank: 2, ndensity: 1, num_ms_combs: 3, mus: [0, 0], ns: [1, 2], ls: [1, 1],"
    " ms_combs: [-1, 1, 0, 0, 1, -1], ctildes: [0.5773502691896257, -0.5773502691896257, 0.5773502691896257]}\n"
)


def entry(ns, ls, ms, c):
    return {"rank": len(ns), "mus": [0] * len(ns), "ns": ns, "ls": ls, "ms_combs": ms, "ctildes": c}


def line(e):
    return (
        f"    - {{mu0: 0, rank: {e['rank']}, ndensity: 1, num_ms_combs: {len(e['ctildes'])}, mus: {e['mus']},"
        f" ns: {e['ns']}, ls: {e['ls']}, ms_combs: {e['ms_combs']}, ctildes: {e['ctildes']}}}\n"
    )


CONVENTIONS = {
    "all m": entry([1, 2], [1, 1], [-1, 1, 0, 0, 1, -1], [0.5, -0.5, 0.5]),
    "half of m, doubled": entry([1, 2], [1, 1], [0, 0, 1, -1], [-0.5, 1.0]),
    "equal labels, one order": entry(
        [1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0, 1, -1, 0, 0, 1, 1, -1, -1], [1.0, -4.0, 4.0]
    ),
    "factors in another order": entry([2, 1, 1], [1, 0, 1], [-1, 0, 1, 0, 0, 0, 1, 0, -1], [0.3, -0.3, 0.3]),
    # (A1·A1)(A2·A2) + 2 (A1·A2)(A1·A2): a sum of trees
    "a combination": entry(
        [1, 1, 2, 2],
        [1, 1, 1, 1],
        [m for a in (-1, 0, 1) for b in (-1, 0, 1) for m in (a, -a, b, -b)]
        + [m for a in (-1, 0, 1) for b in (-1, 0, 1) for m in (a, b, -a, -b)],
        [(-1.0) ** (a + b) for a in range(3) for b in range(3)]
        + [2 * (-1.0) ** (a + b) for a in range(3) for b in range(3)],
    ),
    "odd momenta vanish": entry([1, 2, 1], [1, 1, 1], [0, 1, -1, 0, -1, 1], [1.0, -1.0]),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions(name, tmp_path):
    function = CONVENTIONS[name]
    # rank 1 comes last in this file and first in the basis; the function is there twice
    (tmp_path / "x.yace").write_text(HEAD + line(function) + line(function) + RANK2 + RANK1)
    basis = read_yace(tmp_path / "x.yace")
    assert basis.sizes == (4,)
    rows = np.random.default_rng(7).standard_normal((basis.n_a, 1))
    A = naive.complex_base(rows[:, 0], basis.n_of_l, 1)
    values, _ = naive.run_program(basis.programs[0], rows)
    assert values[0, 0] == rows[2, 0]
    expected = naive.file_function(function, A)
    np.testing.assert_allclose(values[1:3, 0], [expected, expected], rtol=1e-12, atol=1e-13)
    write_yace(basis, tmp_path / "y.yace")
    again, _ = naive.run_program(read_yace(tmp_path / "y.yace").programs[0], rows)
    np.testing.assert_allclose(again, values, rtol=1e-12, atol=1e-13)


def test_any_yaml_layout_will_do(tmp_path):
    text = HEAD + RANK1 + RANK2
    (tmp_path / "x.yace").write_text(text)
    expected = read_yace(tmp_path / "x.yace").hash
    spread = text.replace(", ls:", ",\n       ls:").replace("ctildes", "\n       'ctildes'")
    block = text.replace(RANK1, RANK1.replace("{mu0", "mu0").replace("}", "").replace(", ndensity", "\n      ndensity"))
    block = re.sub(r"(?m)^    - mu0.*\n.*$", "    - mu0: 0\n      rank: 1\n      mus: [0]\n      ns: [3]\n"
                   "      ls: [0]\n      ms_combs: [0]\n      ctildes: [1]", block)  # fmt: skip
    for other in (spread, block, text.replace("1.0]", "1.]"), "# a remark\n" + text, text.replace("\n", "\r\n")):
        assert other != text
        (tmp_path / "y.yace").write_bytes(other.encode())
        assert read_yace(tmp_path / "y.yace").hash == expected


def literal(path, structure, atom):
    """B of one atom as LAMMPS has it, from the file's own keys: the radial functions in the words of ML-PACE."""
    file = plain(path)
    bond = file["bonds"]["0 0"]
    cutoff, lam, dcut, start, width = (
        float(x) for x in (bond["rcut"], bond["radparameters"][0], bond["dcut"], bond["rcut_in"], bond["dcut_in"])
    )
    if bond["inner_cutoff_type"] == "density":
        start, width = start - width, 0.0
    l_max, n_max = bond["lmax"], bond["nradbasemax"]
    A = {(0, n, l, m): 0.0 for n in range(1, n_max + 1) for l in range(l_max + 1) for m in range(-l, l + 1)}
    for other in range(structure.n_atoms):
        for shift in naive.images(structure, cutoff):
            vector = structure.positions[other] + shift - structure.positions[atom]
            r = np.linalg.norm(vector)
            if not 1e-9 < r < cutoff or r <= start - width:
                continue
            x = 1 - 2 * (np.exp(-lam * r / cutoff) - np.exp(-lam)) / (1 - np.exp(-lam))
            envelope = (1 + np.cos(np.pi * r / cutoff)) / 2
            if r > cutoff - dcut:
                envelope *= (1 + np.cos(np.pi * (r - (cutoff - dcut)) / dcut)) / 2
            if r < start:
                t = 1 - 2 * (1 + (r - start) / width)
                envelope *= 1 / 2 - 15 / 4 * (t / 4 - t**3 / 6 + t**5 / 20)
            g = [
                envelope if n == 0 else envelope * (1 - np.cos(n * np.arccos(np.clip(x, -1, 1)))) / 2
                for n in range(n_max)
            ]
            for (_, n, l, m), value in list(A.items()):
                A[0, n, l, m] = value + g[n - 1] * naive.harmonic(l, m, vector)
    entries = file["functions"][0]
    ranked = [e for e in entries if e["rank"] == 1] + [e for e in entries if e["rank"] > 1]
    return np.array([naive.file_function(e, A) for e in ranked])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dcut: 0.01, rcut_in", "dcut: 0.01, rcut_in"),
        ("dcut: 0.01, rcut_in", "dcut: 5.5, rcut_in"),
        ("dcut: 0.01, rcut_in", "dcut: 8.0, rcut_in"),
        ("dcut: 0.01, rcut_in: 0.0, dcut_in: 0.01", "dcut: 1.7, rcut_in: 4.3, dcut_in: 2.2"),
        ("dcut: 0.01, rcut_in: 0.0, dcut_in: 0.01", "dcut: 1.7, rcut_in: 6.0, dcut_in: 4.9"),
        ("rcut_in: 0.0, dcut_in: 0.01", "rcut_in: 2.9, dcut_in: 0"),
        ("rcut_in: 0.0, dcut_in: 0.01", "rcut_in: 2.9, dcut_in: 7.0"),
        (
            "rcut_in: 0.0, dcut_in: 0.01, inner_cutoff_type: distance",
            "rcut_in: 2.9, dcut_in: 0.3, inner_cutoff_type: density",
        ),
        (
            "rcut_in: 0.0, dcut_in: 0.01, inner_cutoff_type: distance",
            "rcut_in: 0.3, dcut_in: 0.3, inner_cutoff_type: density",
        ),
        ("radparameters: [1.4]", "radparameters: [-1.4]"),
        ("radparameters: [1.4]", "radparameters: [-17.0]"),
        ("radparameters: [1.4]", "radparameters: [31.0]"),
        ("FS_parameters: [1.0, 1.0]", "FS_parameters: [1, 1, 1, 0.5]"),
        ("rho_core_cutoff: 100000", "rho_core_cutoff: 250"),
    ],
)
def test_what_lammps_defines_is_evaluated_as_it_does(old, new, tmp_path):
    text = HEAD + RANK2 + RANK1
    assert old in text
    (tmp_path / "x.yace").write_text(text.replace(old, new, 1))
    basis = read_yace(tmp_path / "x.yace")
    rng = np.random.default_rng(8)
    structure = Structure(rng.random((4, 3)) * 4.5, np.eye(3) * 4.5, [0] * 4, [True] * 3)
    values = describe(structure, basis)
    for atom in range(4):
        expected = literal(tmp_path / "x.yace", structure, atom)
        np.testing.assert_allclose(values[atom], expected, rtol=1e-12, atol=1e-12 * np.abs(values).max())
    write_yace(basis, tmp_path / "y.yace")
    assert read_yace(tmp_path / "y.yace").hash == basis.hash


def test_functions_that_vanish_keep_their_columns(tmp_path):
    basis = build_basis(["Ta"], (2, 1, 1), (0, 1, 1), cutoff=4.5)
    structure = Structure(np.array([[0, 0, 0], [2.4, 0, 0.3], [0.2, 2.6, 0]]), np.eye(3) * 20, [0] * 3, [False] * 3)
    whole = describe(structure, basis)
    for gone in ([0], [1], [2], [3], [0, 1], [1, 2], [5], [0, 1, 3]):
        coefs = np.ones(basis.n_desc)
        coefs[gone] = 0.0
        write_yace(basis, tmp_path / "x.yace", [coefs])
        write_yace(read_yace(tmp_path / "x.yace"), tmp_path / "y.yace")
        again = read_yace(tmp_path / "y.yace")
        np.testing.assert_allclose(describe(structure, again), whole * coefs, rtol=1e-12, atol=1e-15)
        ranks = [entry["rank"] for entry in plain(tmp_path / "y.yace")["functions"][0]]
        first_other = next(k for k, rank in enumerate(ranks) if rank > 1)
        assert 1 not in ranks[first_other:], "LAMMPS numbers rank 1 first"
    write_yace(basis, tmp_path / "x.yace", np.zeros(basis.n_desc))
    with pytest.raises(InputError, match=r"x\.yace: every function vanishes"):
        read_yace(tmp_path / "x.yace")


def test_one_vector_of_coefficients_will_do(tmp_path):
    basis = build_basis(["Au", "Cu"], (2, 1), (0, 1), cutoff=4.5)
    coefs = np.arange(1.0, basis.n_desc + 1)
    write_yace(basis, tmp_path / "x.yace", coefs)
    write_yace(basis, tmp_path / "y.yace", [coefs[basis.columns(0)], coefs[basis.columns(1)]])
    assert (tmp_path / "x.yace").read_bytes() == (tmp_path / "y.yace").read_bytes()
    for wrong in (coefs[:-1], [coefs[:3], coefs[3:]], "abc", [["a"], ["b"]], [1.0], np.full(basis.n_desc, np.nan), 1.0):
        with pytest.raises(InputError, match=f"coefs: must be 2 rows.*one vector of {basis.n_desc}"):
            write_yace(basis, tmp_path / "z.yace", wrong)
    with pytest.raises(InputError, match="e0"):
        write_yace(basis, tmp_path / "z.yace", e0="ab")
    with pytest.raises(InputError, match=r"nowhere.*cannot be written \(No such file"):
        write_yace(basis, tmp_path / "nowhere" / "z.yace")


def test_prefactor_of_the_embedding_scales_the_coefficients(tmp_path):
    (tmp_path / "x.yace").write_text(HEAD.replace("[1.0, 1.0]", "[0.5, 1.0]") + RANK1 + RANK2)
    assert [c.tolist() for c in read_yace(tmp_path / "x.yace").coefficients] == [[0.5, 0.5]]


def test_density_type_without_an_inner_cutoff_is_the_same(tmp_path):
    text = HEAD + RANK1
    for k, old in enumerate(
        (text, text.replace(": distance", ": density"), text.replace(", inner_cutoff_type: distance", ""))
    ):
        (tmp_path / f"{k}.yace").write_text(old)
    assert len({read_yace(tmp_path / f"{k}.yace").hash for k in range(3)}) == 1


def test_no_taper_means_none(tmp_path):
    (tmp_path / "x.yace").write_text(HEAD.replace("dcut: 0.01, rcut_in", "dcut: 0, rcut_in") + RANK1)
    basis = read_yace(tmp_path / "x.yace")
    for r in (1.0, 5.4951, 5.4999):
        x = naive.radial(r, 3, 5.5, 1.4, basis.taper[0, 0])
        assert x[0] == (1 + np.cos(np.pi * r / 5.5)) / 2


# --- refused ---------------------------------------------------------------------------------------------------------

REFUSED = [
    ("elements: [Ta]", "elements: [Xy]", ["Xy"]),
    ("elements: [Ta]", "elements: [Ta, Ta]", ["Ta", "twice"]),
    ("elements: [Ta]", "elements: Ta", ["elements"]),
    ("elements: [Ta]", "elements: [Ta, W]", ["W", "missing"]),
    ("E0: [0.0]", "E0: [0.0, 1.0]", ["E0"]),
    ("E0: [0.0]", "E0: [.nan]", ["E0", "finite"]),
    ("deltaSplineBins", "nnorm: 2\ndeltaSplineBins", ["nnorm"]),
    ("ndensity: 1, FS", "ndensity: 2, FS", ["ndensity = 2"]),
    ("[1.0, 1.0]", "[1.0, 0.5]", ["FS_parameters", "0.5"]),
    ("[1.0, 1.0]", "[1.0, 0.5, 1.0, 1.0]", ["FS_parameters", "0.5"]),
    ("[1.0, 1.0]", "[1.0]", ["FS_parameters"]),
    ("[1.0, 1.0]", "[1.0, 1.0, x]", ["FS_parameters", "x"]),
    ("rho_core_cutoff: 100000", "rho_core_cutoff: abc", ["embedding of Ta", "rho_core_cutoff", "abc", "number"]),
    ("rho_core_cutoff: 100000", "rho_core_cutoff: 100", ["rho_core_cutoff = 100", "drho_core_cutoff = 250"]),
    (" drho_core_cutoff: 250", " drho_core_cutoff: [1]", ["drho_core_cutoff", "number"]),
    ("deltaSplineBins: 0.001", "deltaSplineBins: hello", ["deltaSplineBins", "hello"]),
    ("deltaSplineBins: 0.001", "deltaSplineBins: 0", ["deltaSplineBins", "above 0"]),
    ("lambdahc: 1.4", "lambdahc: x1.4", ["bond Ta-Ta", "lambdahc", "x1.4"]),
    ("prehc: 0", "prehc: high", ["bond Ta-Ta", "prehc", "high"]),
    ("npoti: FinnisSinclair", "npoti: Quadratic", ["npoti", "Quadratic"]),
    ("radbasename: ChebExpCos", "radbasename: SBessel", ["radbasename", "SBessel", "ChebExpCos"]),
    ("radbasename: ChebExpCos", "radbasename: ChebPow", ["ChebPow"]),
    ("[[[1, 0, 0]", "[[[1, 0.5, 0]", ["radcoefficients", "identity"]),
    ("[[[1, 0, 0]", "[[[1, 0]", ["radcoefficients", "(2, 3, 3)"]),
    ("prehc: 0", "prehc: 100.0", ["prehc = 100"]),
    ("rcut_in: 0.0", "rcut_in: -1.0", ["bond Ta-Ta", "rcut_in = -1 Å"]),
    ("dcut_in: 0.01", "dcut_in: -1.0", ["bond Ta-Ta", "dcut_in = -1 Å"]),
    ("dcut: 0.01, rcut_in", "dcut: -0.5, rcut_in", ["bond Ta-Ta", "dcut = -0.5 Å"]),
    ("rcut_in: 0.0", "rcut_in: 6.0", ["rcut_in = 6 Å", "dcut_in = 0.01 Å", "rcut = 5.5 Å"]),
    ("distance", "zbl", ["inner_cutoff_type", "zbl"]),
    ("rcut: 5.5", "rcut: -5.5", ["bond Ta-Ta", "rcut = -5.5 Å"]),
    ("rcut: 5.5", "rcut: far", ["rcut", "far"]),
    ("rcut: 5.5", "rcut: yes", ["rcut", "True"]),
    ("radparameters: [1.4]", "radparameters: [0.0]", ["bond Ta-Ta", "radparameters = [0]"]),
    ("radparameters: [1.4]", "radparameters: [-80]", ["radparameters = [-80]", "-50 to 50"]),
    ("radparameters: [1.4]", "radparameters: [1.4, 2.0]", ["radparameters"]),
    ("dcut: 0.01, rcut_in", "dcut: 0.01, r_in: 1.0, rcut_in", ["r_in"]),
    ("dcut: 0.01, rcut_in", "dcut: 0.01, rcut: 5.0, rcut_in", ["rcut", "twice"]),
    ("  [0, 0]:", "  [0, 1]:", ["bond Ta-Ta", "missing"]),
    ("\n  0:\n", "\n  1:\n", ["element 1"]),
    ("\n  0:\n", "\n  0: []\n", ["YAML"]),
    ("functions:\n  0:\n", "more:\n  0:\n", ["more"]),
    ("rank: 2", "rank: 3", ["mus", "3 integers"]),
    ("rank: 2", "rank: 9", ["rank = 9"]),
    ("{mu0: 0, rank: 2", "{mu0: 1, rank: 2", ["mu0"]),
    ("rank: 2, ndensity: 1", "rank: 2, ndensity: 2", ["ndensity"]),
    ("rank: 2, ndensity: 1", "rank: 2, weight: 1", ["weight"]),
    ("mus: [0, 0]", "mus: [0, 1]", ["mus", "[0, 1]"]),
    ("mus: [0, 0], ", "", ["mus"]),
    ("ns: [1, 2]", "ns: [0, 2]", ["ns", "[0, 2]"]),
    ("ns: [1, 2]", "ns: [1, 3]", ["ns", "nradmax = 2"]),
    ("ns: [3]", "ns: [4]", ["ns", "nradbasemax = 3"]),
    ("ls: [1, 1]", "ls: [3, 3]", ["ls", "lmax = 2"]),
    ("ls: [1, 1]", "ls: [1.5, 1]", ["ls"]),
    ("num_ms_combs: 3", "num_ms_combs: 4", ["num_ms_combs"]),
    ("[-1, 1, 0, 0, 1, -1]", "[-1, 1, 0, 0, 1]", ["ms_combs", "6 integers"]),
    ("[-1, 1, 0, 0, 1, -1]", "[-2, 2, 0, 0, 1, -1]", ["function 1 of Ta", "|m| > l"]),
    ("[-1, 1, 0, 0, 1, -1]", "[-1, 1, 0, 0, 1, 0]", ["function 1 of Ta", "not invariant"]),
    ("-0.5773502691896257,", "0.5773502691896257,", ["function 1 of Ta", "not invariant", "ns [1, 2]"]),
    ("-0.5773502691896257,", "-0.5773,", ["not invariant", "rounded", "12 significant digits"]),
    (
        "num_ms_combs: 1, mus: [0], ns: [3], ls: [0], ms_combs: [0], ctildes: [1.0]",
        "num_ms_combs: 2, mus: [0], ns: [3], ls: [0], ms_combs: [0, 0], ctildes: [1.0, 5.0]",
        ["function 0 of Ta", "num_ms_combs = 2", "rank 1"],
    ),
    ("-0.5773502691896257,", ".inf,", ["ctildes"]),
    ("ls: [0], ms_combs", "ls: [1], ms_combs", ["function 0 of Ta", "not invariant"]),
    ("ctildes: [1.0]", "ctildes: []", ["ctildes"]),
    ("ctildes: [1.0]}", "ctildes: [1.0]", ["YAML"]),
    ("ctildes: [1.0]", "ctildes: [1.0], rank: 1", ["rank", "twice"]),
]


@pytest.mark.parametrize(("old", "new", "words"), REFUSED)
def test_what_is_not_supported_is_refused_by_name(old, new, words, tmp_path):
    text = HEAD + RANK1 + RANK2
    assert old in text
    (tmp_path / "hostile.yace").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        read_yace(tmp_path / "hostile.yace")
    message = str(error.value)
    assert "\n" not in message
    for word in ["hostile.yace", *words]:
        assert word in message


def test_more_radial_functions_than_there_is_a_base_for(tmp_path):
    """R_3 = Σ_k c_3k g_k is 0 where k ends at 2; it must not be taken for g_3."""
    coefficients = "[[[1, 0], [1, 0], [1, 0]], [[0, 1], [0, 1], [0, 1]], [[0, 0], [0, 0], [0, 0]]]"
    head = re.sub(r"radcoefficients: \[.*\]\]\]", f"radcoefficients: {coefficients}", HEAD)
    head = head.replace("nradmax: 2", "nradmax: 3").replace("nradbasemax: 3", "nradbasemax: 2")
    (tmp_path / "x.yace").write_text(head + RANK2)
    assert read_yace(tmp_path / "x.yace").n_of_l == (2, 2)
    (tmp_path / "x.yace").write_text(head + RANK2.replace("ns: [1, 2]", "ns: [1, 3]"))
    with pytest.raises(InputError, match=r"function 0 of Ta: ns = \[1, 3\].*nradbasemax = 2"):
        read_yace(tmp_path / "x.yace")


def test_inner_cutoff_types_must_not_be_mixed(tmp_path):
    basis = build_basis(["Au", "Cu"], (2,), (0,), cutoff=5.0, cutoff_in={"Au-Au": 1.5, "Au-Cu": 1.5, "Cu-Cu": 0.0})
    write_yace(basis, tmp_path / "x.yace")
    head, last = (tmp_path / "x.yace").read_text().rsplit("distance", 1)
    (tmp_path / "x.yace").write_text(head + "density" + last)
    with pytest.raises(InputError, match="density, distance"):
        read_yace(tmp_path / "x.yace")


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"- 1\n- 2\n", b"elements: [Ta", b"a: &a [*a]", b"!!python/object:os.system {}", b"1"],
)
def test_what_is_no_yace_at_all(content, tmp_path):
    (tmp_path / "x.yace").write_bytes(content)
    with pytest.raises(InputError, match=re.escape("x.yace")):
        read_yace(tmp_path / "x.yace")
    with pytest.raises(InputError, match=r"missing\.yace"):
        read_yace(tmp_path / "missing.yace")


# --- couplings of single precision -----------------------------------------------------------------------------------


def test_couplings_of_single_precision_are_projected_onto_the_invariants(tmp_path):
    basis = build_basis(["Ta"], (2, 2, 1, 1), (0, 2, 2, 1), cutoff=4.5)
    write_yace(basis, tmp_path / "double.yace")
    text = re.sub(
        r"ctildes: \[(.*?)\]",
        lambda m: "ctildes: [" + ", ".join(repr(float(np.float32(x))) for x in m[1].split(",")) + "]",
        (tmp_path / "double.yace").read_text(),
    )
    (tmp_path / "single.yace").write_text(text)
    with pytest.warns(UserWarning, match=r"single\.yace: .* single precision"):
        single = read_yace(tmp_path / "single.yace")
    assert single.sizes == basis.sizes
    rows = np.random.default_rng(7).standard_normal((basis.n_a, 1))
    ours, _ = naive.run_program(basis.programs[0], rows)
    theirs, _ = naive.run_program(single.programs[0], rows)
    np.testing.assert_allclose(theirs, ours, rtol=2e-6, atol=2e-7 * np.abs(ours).max())
    A = naive.complex_base(rows[:, 0], basis.n_of_l, basis.n_elements)
    letter = np.array([naive.file_function(entry, A) for entry in plain(tmp_path / "single.yace")["functions"][0]])
    np.testing.assert_allclose(theirs[:, 0], letter, rtol=2e-6, atol=2e-7 * np.abs(letter).max())


@pytest.mark.parametrize("name", ["fifo.yace", "none.yace"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / "fifo.yace")
    with pytest.raises(InputError, match=rf"{name}: (is no regular file|no such file)"):
        read_yace(tmp_path / name)
