"""Cluster correlations: against icet's, against slow counting, after swaps, with short-range order wanted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.data import atomic_numbers
from lattice_probes import settle, value_changed

import grs_evo
from grs_evo.errors import InputError
from grs_evo.loss.lattice import LatticeObjective, make_lattice_objective
from grs_evo.search.operators.lattice_moves import make_moves
from grs_evo.search.options import WalkOptions
from grs_evo.search.strategies.lattice_chain import advance_chain, chain_options, new_chain
from grs_evo.structures.clusters import placed
from grs_evo.structures.composition import free
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure, from_atoms
from grs_evo.targets.clusters import (
    AlloySites,
    Clusters,
    cluster_value,
    correlations,
    make_clusters,
    orbit_report,
    with_vacancies,
)
from grs_evo.targets.short_range_order import ordered_cell, orders_of

ICET = json.loads((Path(__file__).parent / "data" / "icet_cluster_vectors.json").read_text())["cases"]
ELEMENTS = ("Co", "Fe", "Ni")
A = 3.6


def point_functions(n: int) -> np.ndarray:
    """icet's, of van de Walle (2009): cosines and sines of the number of the element."""
    s = np.arange(n)
    rows = [-np.cos(np.pi * (m + 2) * s / n) if m % 2 == 0 else -np.sin(np.pi * (m + 1) * s / n) for m in range(n - 1)]
    return np.array(rows).reshape(n - 1, n)


def fcc(n_el: int = 3) -> AlloySites:
    return AlloySites(
        bulk("Cu", "fcc", a=A).cell[:], np.zeros((1, 3)), np.full((1, n_el), 1 / n_el), np.zeros((0, 4)), 0
    )


@pytest.mark.parametrize("case", ICET, ids=[one["name"] for one in ICET])
def test_cluster_vectors_are_those_of_icet(case: dict) -> None:
    elements = sorted({symbol for site in case["symbols"] for symbol in site}, key=atomic_numbers.get)
    cell = np.array(case["cell"])
    fractions, functions = np.zeros((len(case["symbols"]), len(elements))), []
    for k, symbols in enumerate(case["symbols"]):
        columns = [elements.index(symbol) for symbol in sorted(symbols, key=atomic_numbers.get)]
        fractions[k, columns] = 1 / len(columns)
        functions.append(np.zeros((len(columns) - 1, len(elements))))
        functions[-1][:, columns] = point_functions(len(columns))
    sites = np.array(case["positions"]) @ np.linalg.inv(cell)
    clusters = make_clusters(AlloySites(cell, sites, fractions, np.zeros((0, 4)), 0), case["cutoffs"])
    for one in case["cells"]:
        species = np.array([elements.index(symbol) for symbol in one["symbols"]], np.int32)
        structure = Structure(np.array(one["positions"]), np.array(one["cell"]), species, np.ones(3, bool))
        found = np.concatenate(correlations(clusters, structure, functions))
        assert np.sort(found) == pytest.approx(np.sort(one["vector"]), abs=1e-10)


def by_hand(structure: Structure, order: int, lengths: list[float], n_el: int) -> float:
    """Root mean square of all products of orthonormal point functions over the clusters with these distances."""
    functions = np.linalg.qr(np.concatenate([np.ones((1, n_el)), np.eye(n_el)[1:]]).T)[0].T[1:] * np.sqrt(n_el)
    found = neighbours(structure, max(lengths) + 0.01)
    total, number = np.zeros((n_el - 1,) * order), 0
    for i in range(structure.n_atoms):
        mine = found.first == i
        others, vectors = found.second[mine], found.vectors[mine]
        for chosen in permutations(range(len(others)), order - 1):
            places = np.concatenate([np.zeros((1, 3)), vectors[list(chosen)]])
            apart = np.linalg.norm(places[:, None] - places[None], axis=-1)[np.triu_indices(order, 1)]
            if np.allclose(np.sort(apart), np.sort(lengths), atol=1e-3):
                term = np.ones(())
                for atom in [i, *others[list(chosen)]]:
                    term = np.multiply.outer(term, functions[:, structure.species[atom]])
                total += term
                number += 1
    return float(np.sqrt(((total / number) ** 2).mean()))


def test_deviations_of_orbits_are_those_counted_by_hand() -> None:
    rng = np.random.default_rng(1)
    atoms = bulk("Cu", "fcc", a=A, cubic=True) * (2, 1, 2)
    structure = from_atoms(atoms, ["Cu"]).replace(species=rng.integers(0, 3, 16).astype(np.int32))
    clusters = make_clusters(fcc(), (3.7, 2.6, 2.6))
    d = A / np.sqrt(2)
    rows = orbit_report(clusters, structure, ELEMENTS, "")
    lengths = [[d], [A], [d] * 3, [d] * 6]
    assert [row["clusters"] for row in rows] == ["pairs", "pairs", "triplets", "quadruplets"]
    for row, one in zip(rows, lengths, strict=True):
        # all orders of the places are counted by hand, so products that symmetry makes equal are averaged
        order = {1: 2, 3: 3, 6: 4}[len(one)]
        assert row["deviation"] == pytest.approx(by_hand(structure, order, one, 3), rel=1e-9)
    pairs = neighbours(structure, d + 0.1)
    share = ((structure.species[pairs.first] == 0) & (structure.species[pairs.second] == 1)).mean()
    assert rows[0]["orders"]["Co-Fe"] == pytest.approx(1 - 9 * share)


def test_the_term_is_the_root_of_a_weighted_mean_of_squared_deviations() -> None:
    rng = np.random.default_rng(3)
    atoms = bulk("Cu", "fcc", a=A, cubic=True) * (2, 2, 3)
    structure = from_atoms(atoms, ["Cu"]).replace(species=rng.permutation(np.repeat([0, 1, 2], 16)).astype(np.int32))
    clusters = make_clusters(fcc(), (5.2, 3.7, 2.6))  # pairs of four shells, triplets 111 and 112, a quadruplet
    one, two, three, four, t111, t112, t1111 = (
        row["deviation"] ** 2 for row in orbit_report(clusters, structure, ELEMENTS, "")
    )
    # of a random cell of one site: distinct products of functions over all products and clusters of a site; of two
    # functions 3 distinct of 4 on a pair and 5 of 16 on a quadruplet, 4 and 6 of 8 on triplets with six and two orders
    pairs = (one + two + three + 0.1 * four) / (0.75 * (1 / 6 + 1 / 3 + 1 / 12 + 0.1 / 6))
    far = 12 / 8 / np.sqrt(2)  # one of three distances is longer, by the root of 2
    triplets = (t111 + far * t112) / (4 / 8 / 8 + far * 6 / 8 / 12)
    quadruplets = t1111 / (5 / 16 / 2)
    expected = (pairs + triplets / 2 + quadruplets / 4) / (1 + 1 / 2 + 1 / 4)
    assert cluster_value(clusters, structure) == pytest.approx(np.sqrt(expected), rel=1e-9)


@cache
def lattice(weight: float = 1.0, mean: float = 1.0, repeat: tuple[int, int, int] = (2, 2, 3)) -> LatticeObjective:
    basis = grs_evo.build_basis(ELEMENTS, n_max=(3, 1), l_max=(0, 2), cutoff=4.8)
    target = grs_evo.Target.random_alloy(bulk("Cu", a=A), basis, dict.fromkeys(ELEMENTS, 1 / 3), samples=500)
    options = grs_evo.LossOptions(mean=mean, variance=0.0, terms={"clusters": weight})
    template = from_atoms(bulk("Cu", "fcc", a=A, cubic=True) * repeat, ["Cu"])
    return make_lattice_objective(grs_evo.make_objective(basis, target, options), template)


# the last one is so small that sites meet their own images
@pytest.mark.parametrize(("mean", "repeat"), [(1.0, (2, 2, 3)), (0.0, (2, 2, 3)), (1.0, (1, 1, 1))])
def test_swaps_change_the_loss_as_a_new_start_does(mean: float, repeat: tuple[int, int, int]) -> None:
    on_sites = lattice(0.7, mean, repeat)
    rng = np.random.default_rng(2)
    n = on_sites.n_sites
    for n_changes in (1, 2, 5):
        occupation = rng.integers(0, 3, n).astype(np.int32)
        sites, elements = (rng.integers(0, k, n_changes).astype(np.int32) for k in (n, 3))
        settle(on_sites.fast, occupation, on_sites.work)
        value = value_changed(on_sites.fast, on_sites.scratch, occupation, sites, elements, n_changes, on_sites.work)
        occupation[sites] = elements if n_changes < 5 else occupation[sites]
        for site, element in zip(sites, elements, strict=True):
            occupation[site] = element
        values, terms = on_sites.evaluate(occupation)
        alone = on_sites.objective.evaluate(on_sites.structure(occupation))
        assert value == pytest.approx(values[0], rel=1e-11)
        assert alone.value == pytest.approx(values[0], rel=1e-11)
        assert alone.terms == pytest.approx(terms[0], rel=1e-11)
        assert on_sites.term_names[-1] == "clusters"
        assert values[0] == pytest.approx(mean * terms[0][1] + 0.7 * terms[0][-1], rel=1e-11)


def test_orbits_may_weigh_more_or_less() -> None:
    basis = lattice().objective.basis
    atoms = bulk("Cu", "fcc", a=A, cubic=True) * (2, 2, 3)
    atoms.symbols = np.random.default_rng(0).permutation(np.repeat(ELEMENTS, 16))

    def value(**weights: Sequence[float]) -> float:
        options = grs_evo.LossOptions(variance=0.0, terms={"clusters": {"weight": 1.0, "weights": weights}})
        judge = grs_evo.make_objective(basis, lattice().objective.target, options)
        on_sites = make_lattice_objective(judge, lattice().template)
        one = judge.evaluate(atoms)
        species = from_atoms(atoms, ELEMENTS).species
        assert on_sites.evaluate(species)[1][0, -1] == pytest.approx(one.terms[-1], rel=1e-11)
        return float(one.terms[-1])

    usual, without, twice = value(), value(pairs=(0.0,)), value(pairs=[2.0])
    assert without < usual
    assert twice**2 - usual**2 == pytest.approx(3 * (usual**2 - without**2), rel=1e-9)
    with pytest.raises(InputError, match=r"loss\.terms\.clusters: weights\.quadruplets: gives 3 weights"):
        value(quadruplets=(1.0, 1.0, 1.0))


def test_a_chain_with_clusters_is_the_same_however_often_it_is_stopped() -> None:
    """Counts followed from move to move are those counted anew at each start."""
    on_sites = lattice()
    moves, chosen = make_moves(on_sites, free(3)), chain_options("random_walk", WalkOptions())
    ends = []
    for piece in (60, 5):
        chain, rng = new_chain(moves, chosen), np.random.default_rng(4)
        for _ in range(60 // piece):
            chain, _ = advance_chain(chain, on_sites, moves, chosen, rng, piece)
        ends.append(chain)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(*ends, strict=True))


def test_an_ordered_crystal_as_target_is_found_without_rest() -> None:
    order = bulk("Cu", "fcc", a=3.75, cubic=True)
    order.symbols[0] = "Au"
    basis = grs_evo.build_basis(["Au", "Cu"], n_max=(2, 1), l_max=(0, 1), cutoff=4.5)
    target = grs_evo.Target.from_structures(order, basis)
    judge = grs_evo.make_objective(basis, target, grs_evo.LossOptions(variance=0.0, terms={"clusters": 1.0}))
    large = order * (2, 2, 1)
    assert judge.evaluate(large).terms[-1] < 1e-7
    large.symbols[[0, 1]] = ["Cu", "Au"]
    assert judge.evaluate(large).terms[-1] > 0.1


def test_cells_made_elsewhere_are_recognised() -> None:
    """Turned, shifted, swollen, with atoms a little off their sites, and listed in another order."""
    clusters = make_clusters(fcc(), (3.7, 2.6))
    rng = np.random.default_rng(3)
    atoms = bulk("Cu", "fcc", a=A) * (2, 3, 4)
    atoms.symbols = rng.permutation(np.repeat(ELEMENTS, 8))
    value = cluster_value(clusters, from_atoms(atoms, ELEMENTS))
    atoms.set_cell(atoms.cell * 1.03, scale_atoms=True)
    atoms.positions += 0.9
    atoms.rattle(0.05, seed=1)
    assert cluster_value(clusters, from_atoms(atoms, ELEMENTS)) == pytest.approx(value, rel=1e-12)
    shuffled = atoms[rng.permutation(24)]
    shuffled.wrap()
    assert cluster_value(clusters, from_atoms(shuffled, ELEMENTS)) == pytest.approx(value, rel=1e-12)
    exact = bulk("Cu", "fcc", a=A) * (2, 3, 4)
    exact.symbols = atoms.symbols
    exact.rotate(33, (1, 2, 3), rotate_cell=True)
    assert cluster_value(clusters, from_atoms(exact, ELEMENTS)) == pytest.approx(value, rel=1e-12)
    del exact[3]
    with pytest.raises(InputError, match="is no cell of the target's lattice"):
        cluster_value(clusters, from_atoms(exact, ELEMENTS))


def test_empty_sites_are_filled_with_vacancies() -> None:
    clusters = make_clusters(fcc(), (3.7, 2.6))
    rng = np.random.default_rng(5)
    atoms = bulk("Cu", "fcc", a=A) * (2, 3, 4)
    atoms.symbols = rng.permutation(np.repeat(["X", "Co", "Fe"], 8))
    elements = ("X", "Co", "Fe")
    value = cluster_value(clusters, from_atoms(atoms, elements))
    holes = atoms[[k for k in rng.permutation(24) if atoms.symbols[k] != "X"]]
    holes.rattle(0.05, seed=1)
    holes.set_cell(holes.cell * 1.01, scale_atoms=True)
    holes.positions += 0.7
    whole = with_vacancies(clusters.alloy, from_atoms(holes, elements), elements)
    assert whole.counts(3).tolist() == [8, 8, 8]
    assert cluster_value(clusters, whole) == pytest.approx(value, rel=1e-12)
    for angle in (31.0, 90.0, 217.0):  # as a CIF has it, which keeps lengths and angles alone
        holes.rotate(angle, (1, 2, -3), rotate_cell=True)
        turned = with_vacancies(clusters.alloy, from_atoms(holes, elements), elements)
        assert turned.counts(3).tolist() == [8, 8, 8]
        assert cluster_value(clusters, turned) == pytest.approx(value, rel=1e-12)


def alpha(structure: Structure, a: int, b: int, shell: tuple[float, float]) -> float:
    pairs = neighbours(structure, shell[1])
    near = pairs.distances > shell[0]
    first, second = structure.species[pairs.first[near]], structure.species[pairs.second[near]]
    fraction = np.bincount(structure.species) / structure.n_atoms
    return float(1 - ((first == a) & (second == b)).mean() / fraction[a] / fraction[b])


def test_wanted_short_range_order_is_there() -> None:
    orders = orders_of({"Co-Fe": [-0.15, 0.1], "Fe-Ni": [0.05]}, ELEMENTS, fcc().fractions)
    made, left = ordered_cell(fcc()._replace(orders=orders), 4000)
    assert left < 1e-3
    near, second = (0.0, 2.7), (2.7, 3.8)
    assert alpha(made, 0, 1, near) == pytest.approx(-0.15, abs=2e-3)
    assert alpha(made, 0, 1, second) == pytest.approx(0.1, abs=2e-3)
    assert alpha(made, 1, 2, near) == pytest.approx(0.05, abs=2e-3)
    assert alpha(made, 0, 2, near) == pytest.approx(0.0, abs=2e-3)


def test_a_target_with_order_stays_the_same_in_a_file(tmp_path: Path) -> None:
    basis = grs_evo.build_basis(["Co", "Ni"], n_max=(2, 1), l_max=(0, 1), cutoff=4.0)
    target = grs_evo.Target.random_alloy(
        bulk("Cu", a=A), basis, {"Co": 0.5, "Ni": 0.5}, samples=400, order={"Co-Ni": [-0.2]}
    )
    random = grs_evo.Target.random_alloy(bulk("Cu", a=A), basis, {"Co": 0.5, "Ni": 0.5}, samples=400)
    assert np.abs(target.moments.mean - random.moments.mean).max() > 1e-3
    grs_evo.write_target(target, tmp_path / "t.h5")
    again = grs_evo.read_target(tmp_path / "t.h5")
    options = grs_evo.LossOptions(variance=0.0, terms={"clusters": 1.0})
    atoms = bulk("Cu", "fcc", a=A, cubic=True) * (2, 2, 1)
    atoms.symbols = ["Co", "Ni"] * 8
    values = [grs_evo.make_objective(basis, one, options).evaluate(atoms).value for one in (target, again)]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("radii", "fractions", "message"),
    [
        ((3.0, 4.0), [[0.5, 0.5]], "at most 3 Å is allowed for triplets"),
        ((3.0,), [[1.0, 0.0]], "no site of the lattice may hold more than one element"),
        ((80.0, 80.0), [[0.5, 0.5]], "take a shorter radius"),
    ],
)
def test_what_cannot_be_is_refused(radii: tuple[float, ...], fractions: list[list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_clusters(fcc()._replace(fractions=np.array(fractions)), radii)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"Co-Mn": [0.1]}, "'Co-Mn' is no pair"),
        ({"Co-Co": [0.1]}, "of like elements"),
        ({"Co-Fe": [-2.5]}, "probability of -"),
    ],
)
def test_orders_that_cannot_be_are_refused(order: dict[str, list[float]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        orders_of(order, ELEMENTS, fcc().fractions)


def test_a_radius_beyond_the_images_is_refused() -> None:
    objective = lattice().objective
    options = grs_evo.LossOptions(variance=0.0, terms={"clusters": {"weight": 1.0, "pairs": 4.0}})
    judge = grs_evo.make_objective(objective.basis, objective.target, options)
    with pytest.raises(InputError, match=r"reach 4 Å, .* its own image 3\.6 Å away"):
        make_lattice_objective(judge, from_atoms(bulk("Cu", "fcc", a=A, cubic=True), ["Cu"]))


def test_orbits_of_a_supercell_hold_each_cluster_once() -> None:
    clusters: Clusters = make_clusters(fcc(2), (2.6, 2.6, 2.6))
    assert [len(one.members) for one in clusters.orbits] == [1, 6, 8, 2]
    at = placed(from_atoms(bulk("Cu", "fcc", a=A) * (3, 3, 3), ["Cu"]), clusters.alloy.cell, clusters.alloy.sites, "")
    assert abs(np.linalg.det(at.form)) == pytest.approx(27)
    assert set(product(*[range(3)] * 3)) == {
        tuple(row % 3) for row in at.rows[:, 1:].tolist() for row in [np.array(row)]
    }
