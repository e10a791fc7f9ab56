"""The complete independent set: its size by characters, its rank by numbers, its order by FitSNAP's files."""

from __future__ import annotations

import json
from math import pi
from pathlib import Path

import naive
import numpy as np
import pytest

from grs_evo.descriptors.angular import count_functions
from grs_evo.descriptors.basis import Basis, build_basis, format_labels
from grs_evo.descriptors.options import BasisOptions, default_cutoffs
from grs_evo.descriptors.program import compile_program
from grs_evo.descriptors.yace.file import read_yace
from grs_evo.errors import InputError

ORACLE = Path(__file__).parent / "data" / "oracle"
ELEMENTS = ("Fe", "Cr", "Si", "V")


def by_rank(basis):
    ranks = [len(label.ls) for label in basis.labels[0]]
    return [ranks.count(r) for r in range(1, max(ranks) + 1)]


@pytest.mark.parametrize(("n", "count"), [(1, 46), (2, 226), (3, 649), (4, 1434)])
def test_paper_counts(n, count):
    basis = build_basis(ELEMENTS[:n])
    assert basis.sizes == (count,) * n
    assert basis.n_desc == n * count
    assert basis.n_of_l == (8, 2, 2)


def test_paper_counts_per_rank():
    assert by_rank(build_basis(["Ta"])) == [8, 9, 26, 3]
    assert by_rank(build_basis(["Au", "Cu"])) == [16, 30, 160, 20]


def invariants(n_elements, rank, n_max, l_max):
    """All invariants of rank N: those of the symmetric power of the whole space of A's, by characters of O(3)."""
    n_angles = 4 * rank * l_max + 8
    angles = 2 * pi * np.arange(n_angles) / n_angles
    total = 0.0
    for inversion in (1, -1):

        def power_sum(k, sign=inversion):
            return (
                n_elements
                * n_max
                * sum(sign ** (k * l) * sum(np.cos(m * k * angles) for m in range(-l, l + 1)) for l in range(l_max + 1))
            )

        h = [np.ones(n_angles)]
        for j in range(1, rank + 1):
            h.append(sum(power_sum(k) * h[j - k] for k in range(1, j + 1)) / j)
        total += np.sum(h[rank] * (1 - np.cos(angles))) / n_angles / 2
    assert abs(total - round(total)) < 1e-6
    return round(total)


@pytest.mark.parametrize(
    ("n_elements", "n_max", "l_max"),
    [
        (1, (8, 2, 2, 1), (0, 2, 2, 1)),
        (3, (8, 2, 2, 1), (0, 2, 2, 1)),
        (1, (1, 4, 3, 2), (0, 6, 4, 2)),
        (1, (1, 1, 1, 2), (0, 0, 0, 3)),
        (1, (1, 1, 1, 3), (0, 0, 0, 2)),
        (2, (2, 2, 2, 2), (0, 1, 2, 2)),
        (1, (1, 1, 1, 1, 2), (0, 0, 0, 0, 2)),
        (2, (1, 1, 1, 1, 1), (0, 1, 1, 1, 2)),
        (4, (1, 1, 1, 1, 1), (0, 1, 1, 1, 1)),
        (1, (1, 1, 1, 1, 1, 1), (0, 0, 0, 0, 0, 3)),
        (2, (1, 1, 1, 1, 1, 1), (0, 0, 0, 0, 0, 1)),
    ],
)
def test_number_of_functions_is_that_of_invariants(n_elements, n_max, l_max):
    basis = build_basis(ELEMENTS[:n_elements], n_max, l_max)
    expected = [
        invariants(n_elements, rank, n, l if rank > 1 else 0)
        for rank, (n, l) in enumerate(zip(n_max, l_max, strict=True), start=1)
    ]
    assert by_rank(basis) == expected
    counted = [
        count_functions(n_elements * n, rank, l if rank > 1 else 0)
        for rank, (n, l) in enumerate(zip(n_max, l_max, strict=True), start=1)
    ]
    assert counted == expected


def sample(basis, n_lanes, seed=0):
    """Functions of element 0 at random A's, (n_lanes, n_functions)."""
    program = compile_program(basis.labels[0], basis.mixing[0], basis.n_of_l, basis.n_elements)
    rows = np.random.default_rng(seed).standard_normal((program.n_a, n_lanes))
    return naive.run_program(program, rows)[0].T


@pytest.mark.parametrize(
    ("n_elements", "n_max", "l_max"),
    [
        (1, (8, 2, 2, 1), (0, 2, 2, 1)),
        (2, (8, 2, 2, 1), (0, 2, 2, 1)),
        (1, (1, 1, 1, 2), (0, 0, 0, 2)),
        (1, (1, 1, 1, 2), (0, 0, 0, 3)),
        (1, (2, 2, 2, 1, 1), (0, 3, 2, 2, 2)),
        (3, (1, 1, 1, 1, 1), (0, 1, 1, 1, 1)),
    ],
)
def test_functions_are_independent(n_elements, n_max, l_max):
    basis = build_basis(ELEMENTS[:n_elements], n_max, l_max)
    values = sample(basis, 2 * basis.sizes[0])
    values /= np.linalg.norm(values, axis=0)
    singular = np.linalg.svd(values, compute_uv=False)
    assert singular[-1] > 1e-6 * singular[0]


@pytest.mark.parametrize("case", ["b_Ta54_paper", "a_AuCu3_L12_32"])
def test_same_functions_in_the_same_order_as_fitsnap(case):
    file = read_yace(ORACLE / case / "coupling_coefficients.yace")
    built = build_basis(file.elements)

    def blocks(basis, element):
        return [sorted(zip(label.ls, label.mus, label.ns, strict=True)) for label in basis.labels[element]]

    for element in range(len(file.elements)):
        assert blocks(built, element) == blocks(file, element)
        triples = [len(label.ls) for label in built.labels[element]].index(4)
        assert [label[1:4] for label in built.labels[element][:triples]] == [
            label[1:4] for label in file.labels[element][:triples]
        ]
    assert built.sizes == file.sizes
    # and block by block the same space
    ours, theirs = sample(built, 700), sample(file, 700)
    solution = np.linalg.lstsq(ours, theirs, rcond=None)[0]
    np.testing.assert_allclose(ours @ solution, theirs, atol=1e-9 * np.abs(theirs).max())
    back = np.linalg.lstsq(theirs, ours, rcond=None)[0]
    np.testing.assert_allclose(theirs @ back, ours, atol=1e-9 * np.abs(ours).max())


def test_columns_and_layout():
    basis = build_basis(["Au", "Cu"], (3, 1), (0, 1))
    assert basis.sizes == (12, 12)
    assert basis.columns(0) == slice(0, 12)
    assert basis.columns(1) == slice(12, 24)
    assert basis.n_of_l == (3, 1)
    assert basis.n_a == 2 * (3 + 3)
    assert [label.mu0 for label in basis.labels[1]] == [1] * 12
    assert basis.labels[0][0] == (0, (0,), (1,), (0,), ())


def test_default_radial_parameters():
    basis = build_basis(["Au", "Cu"])
    np.testing.assert_allclose(basis.cutoff, [[6.64, 6.12], [6.12, 5.6]])
    np.testing.assert_allclose(basis.lam, 0.05 * basis.cutoff)
    assert not basis.cutoff_in.any()
    assert (basis.taper == 0.01).all()
    # no van der Waals radius of Ta is tabulated: the covalent radius, 1.70 Å, stands in
    np.testing.assert_allclose(default_cutoffs(["Ta"]), [[6.8]])


def test_pair_tables():
    basis = build_basis(["Au", "Cu"], (2,), (0,), cutoff={"Au-Au": 5.5, "Au-Cu": 5.3, "Cu-Cu": 5.0}, lam=1.5)
    np.testing.assert_array_equal(basis.cutoff, [[5.5, 5.3], [5.3, 5.0]])
    np.testing.assert_array_equal(basis.lam, np.full((2, 2), 1.5))
    ordered = build_basis(["Au", "Cu"], (2,), (0,), cutoff={"Au-Au": 5, "Au-Cu": 5.3, "Cu-Au": 5.2, "Cu-Cu": 5})
    np.testing.assert_array_equal(ordered.cutoff, [[5.0, 5.3], [5.2, 5.0]])
    by_tuples = {("Au", "Au"): 5, ("Au", "Cu"): 5.3, ("Cu", "Au"): 5.2, ("Cu", "Cu"): 5}
    assert build_basis(["Au", "Cu"], (2,), (0,), cutoff=by_tuples).hash == ordered.hash
    # as wide as the cutoff, and an inner cutoff within the outer taper: both are defined
    assert build_basis(["Cu"], 8, 0, cutoff=5.0, taper=5.0, cutoff_in=2.0).sizes == (8,)
    with pytest.raises(ValueError, match="read-only"):
        basis.cutoff[0, 0] = 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"elements": ["Aau"]}, ["Aau", "Au"]),
        ({"elements": ["Cx"]}, ["'Cx'"]),
        ({"elements": ["X"]}, ["X is a vacancy", "no element"]),
        ({"elements": ["Au", "Cu", "Au"]}, ["Au", "twice"]),
        ({"elements": []}, ["elements"]),
        ({"elements": "Au"}, ["elements", "list"]),
        ({"n_max": (8, 2), "l_max": (0, 2, 2)}, ["n_max", "l_max", "2 entries", "has 3"]),
        ({"n_max": (1,) * 7, "l_max": (0,) * 7}, ["rank 7", "1 to 6"]),
        ({"n_max": (), "l_max": ()}, ["rank 0"]),
        ({"n_max": (0,), "l_max": (0,)}, ["n_max", "0 must be"]),
        ({"n_max": (2, 1), "l_max": (0, -1)}, ["l_max", "-1"]),
        ({"n_max": (2, 1), "l_max": (1, 1)}, ["l_max", "rank 1"]),
        ({"n_max": (30,) * 6, "l_max": (0, *(12,) * 5)}, ["n_max = [30, 30", "functions", "rank 6", "at most 12000"]),
        ({"n_max": (8, 8, 4, 6), "l_max": (0, 8, 4, 4)}, ["l_max = [0, 8, 4, 4]", "35866", "34986 of them of rank 4"]),
        (
            {"n_max": (1,) * 5, "l_max": (0, 0, 0, 0, 6)},
            ["l_max = [0, 0,", "1132 functions of rank 5", "1e+09"],
        ),
        ({"n_max": (2,) * 6, "l_max": (0, 0, 0, 0, 0, 3)}, ["n_max", "l_max", "3768 functions of rank 6", "1e+09"]),
        ({"cutoff": 0.0}, ["cutoff", "Cu-Cu", "0 Å"]),
        ({"cutoff": -4.0}, ["cutoff", "-4 Å"]),
        ({"cutoff": float("nan")}, ["cutoff", "nan"]),
        ({"cutoff": 500.0}, ["cutoff", "500 Å", "100"]),
        ({"cutoff": {"Cu-Cu": 5.0, "Cu-Zn": 5.0}}, ["cutoff", "Cu-Zn"]),
        ({"cutoff": {}}, ["cutoff", "no value", "Cu-Cu"]),
        ({"lam": 0.0}, ["lam", "0"]),
        ({"lam": 80.0}, ["lam", "80", "50"]),
        ({"cutoff": 5.0, "cutoff_in": 5.0}, ["cutoff_in", "5 Å"]),
        ({"cutoff": 5.0, "cutoff_in": -1.0}, ["cutoff_in", "-1 Å"]),
        ({"cutoff": 5.0, "cutoff_in": 2.0, "taper_in": 0.0}, ["taper_in", "0 Å"]),
        ({"cutoff": 5.0, "taper": 6.0}, ["taper", "6 Å"]),
        ({"elements": None}, ["elements = None"]),
        ({"n_max": ("a",)}, ["n_max", "'a'", "integer"]),
        ({"n_max": "8"}, ["n_max", "'8'"]),
        ({"n_max": (2.5,)}, ["n_max", "2.5"]),
        ({"l_max": (None,)}, ["l_max", "None"]),
        ({"n_max": 8, "l_max": (0, 2)}, ["n_max = [8]", "l_max = [0, 2]"]),
        ({"cutoff": "x"}, ["cutoff = 'x'", "number in Å"]),
        ({"cutoff": [1, 2, 3]}, ["cutoff = [1, 2, 3]", "(1, 1)"]),
        ({"cutoff": [[1], [2, 3]]}, ["cutoff"]),
        ({"cutoff": True}, ["cutoff = True"]),
        ({"cutoff": {"Cu-Cu": "far"}}, ["cutoff of Cu-Cu = 'far'"]),
        ({"cutoff": {("Cu", "Au"): 3.0}}, ["cutoff", "('Cu', 'Au')", "no pair"]),
        ({"cutoff": {5: 3.0}}, ["cutoff", "5", "no pair"]),
    ],
)
def test_bad_settings_are_named(arguments, words):
    with pytest.raises(InputError) as error:
        build_basis(**{"elements": ["Cu"], "n_max": (2,), "l_max": (0,), **arguments})
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_text_rebuilds_the_basis():
    for basis in (
        build_basis(["Au", "Cu"], cutoff=1 / 3 + 5),
        read_yace(ORACLE / "d_tric_AuCu_4" / "coupling_coefficients.yace"),
    ):
        again = Basis.from_text(basis.to_text())
        assert again.hash == basis.hash
        assert again.labels == basis.labels
        assert again.to_text() == basis.to_text()
        for a, b in zip(again.programs, basis.programs, strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_changed_text_is_refused():
    basis = build_basis(["Cu"], (2,), (0,), cutoff=5.0)
    data = json.loads(basis.to_text())
    for change, word in [
        ({"cutoff": [[5.5]]}, "changed"),
        ({"schema": 2}, "schema 2"),
        ({"blocks": [1]}, "cannot be read"),
    ]:
        with pytest.raises(InputError, match=word):
            Basis.from_text(json.dumps({**data, **change}))
    with pytest.raises(InputError, match="cannot be read"):
        Basis.from_text("{")


def test_hash_follows_what_determines_values():
    settings = {"elements": ["Au", "Cu"], "n_max": (2, 1), "l_max": (0, 1), "cutoff": 5.0}
    hashes = {build_basis(**settings).hash}
    changes = [
        {"elements": ["Cu", "Au"]}, {"n_max": (3, 1)}, {"l_max": (0, 0)}, {"cutoff": 5.1}, {"lam": 0.3},
        {"cutoff_in": 1.0}, {"taper": 0.02},
    ]  # fmt: skip
    for change in changes:
        hashes.add(build_basis(**{**settings, **change}).hash)
    assert len(hashes) == 1 + len(changes)
    assert build_basis(**settings).hash in hashes


def test_label_table_has_every_function():
    basis = build_basis(["Au", "Cu"])
    lines = format_labels(basis).splitlines()
    assert len(lines) == basis.n_desc + 2
    assert lines[0] == "central element Au: 226 functions; cutoff to Au 6.64, Cu 6.12 Å"
    assert lines[1].split() == ["0", "rank", "1", "Au", "n=1", "l=0"]
    assert lines[-1].split()[0] == "451"
    assert lines[-1].endswith("Cu n=1 l=1  Cu n=1 l=1  | L=(0,0)")


def test_terms_say_how_functions_are_made():
    built = build_basis(["Cu"], (2, 1), (0, 1), cutoff=5.0)
    assert built.terms(0) == [[(label, 1.0)] for label in built.labels[0]]
    file = read_yace(ORACLE / "b_Ta54_paper" / "coupling_coefficients.yace")
    assert len(file.terms(0)) == 46
    ((label, weight),) = file.terms(0)[27]
    assert label.ls == (0, 2, 2)
    assert weight == pytest.approx(5**-0.5)


def test_options():
    with pytest.raises(InputError, match="BasisOptions: n_maxx: unknown key"):
        BasisOptions(elements=["Cu"], n_maxx=[2])
    assert BasisOptions(n_max=8, l_max=0).n_max == [8]
    for name, field in BasisOptions.model_fields.items():
        assert field.description, name
