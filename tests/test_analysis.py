"""Known answers of the offline analysis, on arrays alone."""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, wasserstein_distance

from grs_evo import analysis
from grs_evo.analysis.runs import genealogy
from grs_evo.errors import InputError
from grs_evo.search.population.individual import Individual, heir
from grs_evo.structures.structure import Structure


def cloud(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Environments whose functions depend on each other, as descriptors do."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * np.geomspace(1, 50, d) + 3.0


# ---------------------------------------------------------------- nearness


def test_nearness_of_points_on_a_line():
    target = np.arange(10.0)[:, None]
    chosen = np.array([[0.0], [0.6], [4.4]])
    near = analysis.nearness(target, chosen, (0.5, 1.0, 2.0))
    assert near.unit == 1.0
    # gaps: 0, 0.4, 1.4, 1.4, 0.4, 0.6, 1.6, 2.6, 3.6, 4.6
    assert near.median == pytest.approx(1.4)
    assert near.shares.tolist() == [0.3, 0.4, 0.7]
    with pytest.raises(InputError, match="coincide"):
        analysis.nearness(np.zeros((5, 2)), chosen, (1.0,))
    with pytest.raises(InputError, match="got 1 and 3"):
        analysis.nearness(target[:1], chosen, (1.0,))


# ---------------------------------------------------------------- hulls


def test_a_merge_that_fails_does_not_empty_the_hull(monkeypatch):
    module = import_module("grs_evo.analysis.distributions.coverage")  # the package exports a function of that name

    calls = []

    def failing(points, qhull_options=None):
        calls.append(qhull_options)
        if qhull_options is None:
            raise module.QhullError("wide merge")
        return original(points, qhull_options=qhull_options)

    original = module.ConvexHull
    monkeypatch.setattr(module, "ConvexHull", failing)
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    assert analysis.hull_volume(cube) == pytest.approx(1.0, rel=1e-6)
    assert calls == [None, "QJ"]


@pytest.mark.parametrize("dimension", [1, 2, 3, 5])
def test_hull_volume_of_boxes_and_simplices(dimension):
    corners = np.stack(np.meshgrid(*[[0.0, 2.0]] * dimension), axis=-1).reshape(-1, dimension)
    assert analysis.hull_volume(corners) == pytest.approx(2.0**dimension, rel=1e-12)
    stretched = corners * np.geomspace(1e-4, 1e4, dimension)
    assert analysis.hull_volume(stretched) == pytest.approx(2.0**dimension * np.geomspace(1e-4, 1e4, dimension).prod())
    # Points within do not matter.
    inner = np.random.default_rng(1).uniform(0, 2, size=(50, dimension))
    assert analysis.hull_volume(np.concatenate([corners, inner])) == pytest.approx(2.0**dimension)


def test_hull_of_a_plane_has_no_volume():
    points = np.random.default_rng(0).normal(size=(40, 3))
    points[:, 2] = points[:, 0] - 2 * points[:, 1]
    assert analysis.hull_volume(points) == 0.0
    assert analysis.hull_volume(points[:3]) == 0.0
    assert analysis.hull_volume(np.ones((5, 2))) == 0.0


@pytest.mark.parametrize(("functions", "method"), [(3, "hull"), (12, "widths")])
def test_v_rep_is_one_for_the_target_itself_and_less_for_a_subset(functions, method):
    target = cloud(600, functions)
    same = analysis.coverage(target, target[::-1], variance=1.0, max_dimension=4)
    assert same.method == method
    assert same.dimension == functions
    assert same.v_rep == pytest.approx(1.0, abs=1e-12)
    assert (same.inside, same.beyond) == (1.0, 0.0)
    assert same.factor == pytest.approx(1.0, abs=1e-9)
    less = analysis.coverage(target, target[:60], variance=1.0, max_dimension=4)
    assert 0.0 < less.v_rep < 0.9
    assert less.inside < 1.0
    assert less.beyond == 0.0
    still_less = analysis.coverage(target, target[:30], variance=1.0, max_dimension=4)
    assert still_less.v_rep < less.v_rep


def test_widths_are_exact_for_a_scaled_copy_and_their_error_holds_the_truth():
    target = cloud(600, 5)
    half = target.mean(axis=0) + 0.5 * (target - target.mean(axis=0))
    scaled = analysis.coverage(target, half, variance=1.0, max_dimension=3)
    assert scaled.method == "widths"
    assert scaled.v_rep == pytest.approx(0.5**5, rel=1e-9)
    for size in (40, 300):
        truth = analysis.coverage(target, target[:size], variance=1.0, max_dimension=5)
        guess = analysis.coverage(target, target[:size], variance=1.0, max_dimension=3)
        assert truth.method == "hull"
        assert guess.method == "widths"
        assert 0.0 < abs(np.log(guess.v_rep / truth.v_rep)) < np.log(guess.factor) < 2.0
        assert guess.exact == analysis.coverage(target, target[:size], variance=1.0, max_dimension=3).exact


def test_coverage_does_not_depend_on_the_unit_or_order_of_the_functions():
    target = cloud(300, 3)
    order = [2, 0, 1]
    first = analysis.coverage(target, target[:50], variance=1.0)
    second = analysis.coverage(7.0 * target[:, order], 7.0 * target[:50][:, order], variance=1.0)
    assert second.v_rep == pytest.approx(first.v_rep, rel=1e-9)


def test_a_set_outside_counts_as_beyond():
    target = cloud(300, 2)
    far = target + 1e4
    result = analysis.coverage(target, far, variance=1.0)
    assert result.v_rep == pytest.approx(1.0)
    assert (result.inside, result.beyond) == (0.0, 1.0)


def test_a_target_without_spread_is_refused_in_one_line():
    with pytest.raises(InputError, match="all environments are equal") as caught:
        analysis.coverage(np.ones((20, 4)), np.ones((20, 4)))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no environments"):
        analysis.coverage(cloud(20, 3), np.empty((0, 3)))
    with pytest.raises(InputError, match="same basis"):
        analysis.coverage(cloud(20, 3), cloud(20, 4))
    with pytest.raises(InputError, match="environment 2, function 1 is nan"):
        analysis.coverage(np.where(np.arange(60).reshape(20, 3) == 7, np.nan, 1.0), cloud(20, 3))


def test_growth_rises_to_the_whole_set():
    target = cloud(200, 3)
    parts = np.split(target, 20)
    rows = analysis.coverage_growth(target, parts, steps=8, variance=1.0)
    values = [found.v_rep for _, _, found in rows]
    assert values == sorted(values)
    assert rows[-1][:2] == (20, 200)
    assert values[-1] == pytest.approx(1.0)
    # Hulls or widths, the last step is what the whole set gives.
    wide = cloud(200, 9)
    for most in (4, 6):
        parts = np.split(wide[:60], 6)
        last = analysis.coverage_growth(wide, parts, variance=1.0, max_dimension=most)[-1][2]
        assert asdict(last) == asdict(analysis.coverage(wide, wide[:60], variance=1.0, max_dimension=most))


def test_an_estimate_that_tells_nothing_is_not_told():
    target = cloud(300, 14)
    found = analysis.coverage(target, target[:40], variance=1.0, max_dimension=2)
    assert not found.is_told
    assert "factor of 10" in found.sentence()
    assert f"V_rep = {found.exact:.4g} in the first 2 of 14" in found.sentence()
    assert f"{found.v_rep:.3g}" not in found.sentence()


def test_random_samples_of_the_target_cover_more_the_larger_they_are():
    target = cloud(500, 9)
    components = analysis.principal_components(target, 1.0)
    few, many, all_of_it = (
        analysis.coverage_of_samples(target, count, 8, components=components, max_dimension=3)
        for count in (20, 200, 500)
    )
    assert 0 < few.mean() < many.mean() < 1
    np.testing.assert_allclose(all_of_it, 1.0)
    np.testing.assert_array_equal(
        few, analysis.coverage_of_samples(target, 20, 8, components=components, max_dimension=3)
    )
    one = analysis.coverage(target, target[:20], components=components, max_dimension=3).exact
    assert few.min() / 10 < one < few.max() * 10


def test_a_run_folder_gives_all_environments_and_an_archive_alone_its_sample(tmp_path):
    """An archive keeps a sample of a large target; its hull is smaller, so that V_rep came out too large."""
    from archives import lattice, run_folder, small_basis

    from grs_evo.analysis import sources
    from grs_evo.analysis.distributions import environments
    from grs_evo.storage.archive_file import read_archive, write_archive
    from grs_evo.storage.target_file import TargetData
    from grs_evo.targets.target import SAMPLE, Target

    basis, structure = small_basis(), lattice(np.random.default_rng(0), 64)
    target = Target.from_structures([structure], basis, sample=16)
    folder = run_folder(tmp_path / "run", n=2)
    made = replace(read_archive(folder), target=target.to_arrays())
    write_archive(folder / "archive.h5", made)
    _, alone = sources.target(str(folder), basis)
    assert (len(alone), alone.total, alone.is_whole) == (16, 64, False)
    assert alone.counted() == "a sample of 16 of 64"
    (folder / "target.h5").write_bytes(TargetData(basis, target, (structure,)).to_bytes())
    _, whole = sources.target(str(folder), basis)
    assert (len(whole), whole.is_whole, whole.counted()) == (64, True, "64")
    np.testing.assert_array_equal(whole.rows, Target.from_structures([structure], basis).sample_rows)
    _, beside = sources.target(str(folder / "archive.h5"), basis)
    np.testing.assert_array_equal(beside.rows, whole.rows)
    # Another run's target, or a bound: the sample stays, never less than a target keeps anyway.
    other = Target.from_structures([lattice(np.random.default_rng(1), 64)], basis, sample=16)
    assert environments.with_all(other, basis, folder) is other
    assert len(environments.with_all(target, basis, folder, most=1).sample_rows) == min(64, SAMPLE)


def test_rare_environments_count_in_a_hull_whatever_their_weight():
    from archives import lattice, small_basis

    from grs_evo.analysis.distributions import environments
    from grs_evo.targets.target import Target

    rng = np.random.default_rng(0)
    target = Target.from_structures([lattice(rng, 30), lattice(rng, 6)], small_basis(), weights=[1.0, 1e-3])
    each = environments.of_target(target, drawn=False)
    np.testing.assert_array_equal(each.rows, target.sample_rows)
    assert len(np.unique(environments.of_target(target).rows, axis=0)) < 36


# ---------------------------------------------------------------- principal components


def test_components_carry_the_share_asked_for_and_are_orthonormal():
    rows = cloud(400, 9)
    found = analysis.principal_components(rows, 0.99)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(found.count), atol=1e-12)
    assert found.share >= 0.99
    fewer = analysis.principal_components(rows, 0.99, most=found.count - 1)
    assert fewer.share < 0.99
    points = analysis.project(found, rows)
    np.testing.assert_allclose(points.var(axis=0), found.variances, rtol=1e-9)
    np.testing.assert_allclose(points.mean(axis=0), 0.0, atol=1e-9)


def test_constant_functions_take_no_part():
    rows = np.concatenate([cloud(100, 2), np.full((100, 3), 1e5)], axis=1)
    found = analysis.principal_components(rows, 1.0)
    assert found.count == 2
    assert (found.axes[:, 2:] == 0).all()


# ---------------------------------------------------------------- histograms and distances


# scipy's p-value, which is not looked at, exceeds 1 by rounding for some sizes, and it warns.
@pytest.mark.filterwarnings("ignore:ks_2samp. Exact calculation unsuccessful:RuntimeWarning")
@given(seed=st.integers(0, 2**31), n=st.integers(1, 40), m=st.integers(1, 40), ties=st.booleans())
@settings(max_examples=25, deadline=None)
def test_distances_of_functions_against_scipy(seed, n, m, ties):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(n, 3)), rng.normal(0.5, 2.0, size=(m, 3))
    if ties:
        a, b = a.round(), b.round()
    earth, ks = analysis.wasserstein_distances(a, b), analysis.ks_distances(a, b)
    for column in range(3):
        assert earth[column] == pytest.approx(wasserstein_distance(a[:, column], b[:, column]), abs=1e-12)
        assert ks[column] == pytest.approx(ks_2samp(a[:, column], b[:, column]).statistic, abs=1e-12)


def test_equal_sets_have_distance_zero_and_a_shift_is_measured_in_spreads():
    rows = cloud(150, 4)
    same = analysis.histograms(rows, rows[np.random.default_rng(0).permutation(150)])
    assert (same.wasserstein == 0).all()
    assert (same.ks == 0).all()
    np.testing.assert_array_equal(same.target, same.chosen)
    np.testing.assert_allclose(same.target.sum(axis=1), 1.0)
    moved = analysis.histograms(rows, rows + 0.5 * rows.std(axis=0))
    np.testing.assert_allclose(moved.wasserstein, 0.5)


def test_a_crystal_has_histograms_too():
    crystal = np.tile([[1.0, 0.0, 5.0]], (8, 1))
    found = analysis.histograms(crystal, crystal, bins=5)
    assert np.isfinite(found.edges).all()
    assert (np.diff(found.edges, axis=1) > 0).all()
    assert (found.wasserstein == 0).all()
    other = analysis.histograms(crystal, crystal + np.array([1.0, 0.0, 0.0]), bins=5)
    np.testing.assert_allclose(other.wasserstein, [1.0, 0.0, 0.0])


def test_moment_distances_and_the_floor_of_the_target():
    rng = np.random.default_rng(3)
    target = rng.normal(size=(4000, 6)) * [1, 2, 3, 4, 5, 6]
    assert analysis.moment_distances(target, target).mae_first == 0.0
    moved = analysis.moment_distances(target, 2.0 * target + 1.0)
    np.testing.assert_allclose(moved.first, np.abs(target.mean(axis=0) + 1.0))
    np.testing.assert_allclose(moved.second, 3.0 * target.var(axis=0))
    assert moved.mae_second == pytest.approx(moved.second.mean())
    floor = analysis.halves_floor(target)
    # The means of two halves of n/2 differ by a normal number of spread 2/√n: its absolute mean is √(2/π) of that.
    assert floor.scaled_first == pytest.approx(np.sqrt(2 / np.pi) * 2 / np.sqrt(4000), rel=0.35)
    assert floor.mae_first == analysis.halves_floor(target).mae_first
    with pytest.raises(InputError, match="two halves"):
        analysis.halves_floor(target[:1])


# ---------------------------------------------------------------- fronts


def slow_front(points):
    """Brute force: a point falls if another is nowhere worse and somewhere better, or equal and earlier."""
    return [
        not any((other <= point).all() and ((other < point).any() or j < i) for j, other in enumerate(points) if j != i)
        for i, point in enumerate(points)
    ]


@given(seed=st.integers(0, 2**31), n=st.integers(0, 60), objectives=st.integers(1, 4), levels=st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_front_against_brute_force(seed, n, objectives, levels):
    points = np.random.default_rng(seed).integers(0, levels, size=(n, objectives)).astype(float)
    assert analysis.pareto_front(points).tolist() == slow_front(points)


def test_hypervolume_by_hand_and_over_generations():
    front = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]])
    assert analysis.hypervolume(front, [4.0, 4.0]) == pytest.approx(6.0)
    assert analysis.hypervolume(front[:, :1], [4.0]) == 3.0
    flat = np.column_stack([front, np.zeros(3)])  # no cores overlap
    whole = analysis.hypervolume(front, analysis.reference_point(front))
    assert analysis.hypervolume(flat, analysis.reference_point(flat)) == pytest.approx(whole)
    assert analysis.hypervolume(np.empty((0, 2)), [4.0, 4.0]) == 0.0
    generations, shares = analysis.hypervolume_over_generations(np.array([0, 2, 2]), front)
    assert generations.tolist() == [0, 2]
    assert shares[0] < shares[1] == 1.0
    with pytest.raises(InputError, match="front is empty"):
        analysis.hypervolume_over_generations(np.array([], dtype=int), np.empty((0, 2)))
    with pytest.raises(InputError, match="objective 1 of individual 0 is inf"):
        analysis.pareto_front(np.array([[0.0, np.inf]]))


# ---------------------------------------------------------------- genealogy and embedding


def individual(uid, parents=(-1, -1), operator="random"):
    structure = Structure(np.zeros((1, 3)), np.eye(3), np.zeros(1, int), np.ones(3, bool))
    return Individual(structure, 1.0 / (1 + uid), np.array([1.0]), uid, parents, operator, generation=uid)


def test_ancestry_stops_at_what_the_archive_did_not_keep():
    family = [individual(0), individual(1), individual(2, (0, 1), "slice"), individual(5, (2, 4), "swap")]
    found = analysis.ancestry(family, 5)
    assert [(one.uid, one.depth, one.kept) for one in found] == [
        (5, 0, True), (2, 1, True), (4, 1, False), (0, 2, True), (1, 2, True),
    ]  # fmt: skip
    assert analysis.origins(family) == {"random": 2, "slice": 1, "swap": 1}
    with pytest.raises(InputError, match=r"uid 0/9 \(9\): .*run from 0/0 to 0/5"):
        analysis.ancestry(family, 9)


def test_ancestry_knows_what_descendants_remember():
    first, second = individual(0), individual(1)
    child = heir(individual(2, (0, 1), "slice"), first)
    last = heir(individual(3, (2, -1), "swap"), child)
    found = analysis.ancestry([last], 3)
    assert [(one.uid, one.depth, one.kept, one.known, one.operator) for one in found] == [
        (3, 0, True, True, "swap"), (2, 1, False, True, "slice"), (0, 2, False, True, "random"),
        (1, 2, False, False, ""),
    ]  # fmt: skip
    assert found[1].value == child.value
    assert found[1].parents == (first.uid, second.uid)
    told = genealogy.lines(found)
    assert told[1] == "  0/2  slice from 0/0, 0/1; generation 2, 1 atoms, value 0.333333 (structure not kept)"
    assert told[3] == "    0/1  (no more is known)"


def test_a_loop_in_a_damaged_archive_ends():
    assert len(analysis.ancestry([individual(1, (2, -1)), individual(2, (1, 2))], 1)) == 2


def test_embedding_keeps_groups_together_and_repeats():
    pytest.importorskip("openTSNE")
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(60, 5)), rng.normal(size=(40, 5)) + 30.0
    first = analysis.common_embedding([near, far], iterations=60)
    again = analysis.common_embedding([near, far], iterations=60)
    np.testing.assert_array_equal(first[0][0], again[0][0])
    (a, rows), (b, _) = first
    assert rows.tolist() == list(range(60))
    gap = np.linalg.norm(a.mean(axis=0) - b.mean(axis=0))
    assert gap > max(np.linalg.norm(x - x.mean(axis=0), axis=1).mean() for x in (a, b))
    crystal = analysis.common_embedding([np.ones((30, 3)), np.zeros((20, 3))])
    assert np.ptp(crystal[0][0], axis=0).max() == 0.0


def test_what_rounding_left_of_zero_counts_as_zero():
    rng = np.random.default_rng(0)
    target = np.concatenate([rng.normal(5.0, 1.0, (200, 2)), 1e-30 * rng.normal(size=(200, 2))], axis=1)
    other = np.concatenate([target[:, :2], 1e-28 * rng.normal(size=(200, 2))], axis=1)
    assert analysis.moment_distances(target, other).scaled_first < 1e-20
    found = analysis.histograms(target, other)
    assert found.wasserstein.max() < 1e-20
    assert (found.ks == 0).all()
    # A crystal's one value, up to rounding, is one bin on both sides however many bins there are.
    for bins in (8, 9):
        crystal = analysis.histograms(np.full((9, 1), 700.0), 700.0 + 1e-12 * rng.normal(size=(9, 1)), bins)
        np.testing.assert_array_equal(crystal.target, crystal.chosen)
    assert analysis.principal_components(target, 1.0).count == 2
    assert analysis.coverage(target, other, variance=1.0).v_rep == pytest.approx(1.0)


# ---------------------------------------------------------------- what set and target share


def cube(side, at, n, rng):
    """Corners and inner points of a cube."""
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * 3)).reshape(3, -1).T
    return at + side * np.concatenate([corners, rng.random((n, 3))])


def test_shared_volume_is_that_of_the_intersection():
    rng = np.random.default_rng(0)
    target = cube(1.0, 0.0, 400, rng)
    components = analysis.principal_components(target, variance=1.0)
    cases = [(1.0, 0.5, 0.125), (2.0, -0.5, 1.0), (0.5, 0.25, 0.125), (1.0, 3.0, 0.0)]
    for side, at, expected in cases:
        found = analysis.shared(target, cube(side, at, 200, rng), components)
        assert found.dimension == 3
        assert found.overlap == pytest.approx(expected, abs=1e-6)
    # far off: V_rep is one all the same, and nothing is shared
    away = cube(1.0, 3.0, 200, rng)
    assert analysis.coverage(target, away, components=components).v_rep == pytest.approx(1.0)
    found = analysis.shared(target, away, components)
    assert (found.reached, found.outside) == (0.0, 1.0)
    assert found.novelty.min() > 5.0
    itself = analysis.shared(target, target, components)
    assert (itself.reached, itself.outside, itself.entropy) == (1.0, 0.0, 0.0)
    few = analysis.shared(target, target[:2], components)
    assert np.isnan([few.entropy, few.diversity]).all()
    assert few.novelty.tolist() == [0.0, 0.0]
    with pytest.raises(InputError, match="three environments"):
        analysis.shared(target[:2], target, components)


def test_entropy_of_known_distributions():
    from grs_evo.analysis.distributions.shared import entropy

    rng = np.random.default_rng(1)
    assert entropy(2.0 * rng.random((20000, 2))) == pytest.approx(np.log(4.0), abs=0.05)
    assert entropy(rng.normal(size=(20000, 3))) == pytest.approx(1.5 * np.log(2 * np.pi * np.e), abs=0.05)
