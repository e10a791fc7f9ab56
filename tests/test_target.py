"""Targets: what they hold, that they come back from arrays bit for bit, random alloys, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.descriptors.describe import describe, describe_compact
from grs_evo.driver.ranks import distributed_target as distributed_target
from grs_evo.errors import InputError
from grs_evo.parallel.messages import decode, encode
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure, from_atoms
from grs_evo.targets import moments
from grs_evo.targets import random_alloy as alloy
from grs_evo.targets.chunks import Job, Part, parts_of
from grs_evo.targets.target import Target


@pytest.fixture(scope="module")
def basis() -> Basis:
    return build_basis(["Au", "Cu"], n_max=(3, 2, 1), l_max=(0, 2, 1), cutoff=4.2)


def some(seed: int, n: int = 6) -> Structure:
    """A rattled fcc cell of Au and Cu."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", "fcc", a=3.8, cubic=True) * (2, 1, 1)
    positions = atoms.get_positions()[:n] + rng.normal(scale=0.15, size=(n, 3))
    return Structure(positions, atoms.cell[:] * 1.02, rng.permutation(np.arange(n) % 2), np.ones(3, bool))


def test_environments_count_alike_and_weights_are_repetitions(basis: Basis) -> None:
    structures = [some(0), some(1, 4), some(2, 5)]
    wide = np.concatenate([describe(s, basis) for s in structures])
    target = Target.from_structures(structures, basis)
    np.testing.assert_allclose(target.moments.standardised()[:2], [wide.mean(0), wide.var(0)], rtol=1e-11, atol=1e-14)
    weighted = Target.from_structures(structures, basis, weights=[1.0, 3.0, 2.0])
    repeated = Target.from_structures([structures[k] for k in (0, 1, 1, 1, 2, 2)], basis)
    np.testing.assert_allclose(weighted.moments.standardised(), repeated.moments.standardised(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(weighted.fractions, repeated.fractions)
    assert weighted.volume_per_atom == pytest.approx(repeated.volume_per_atom)


def test_atoms_and_structures_are_the_same(basis: Basis) -> None:
    s = some(0)
    atoms = Atoms([basis.elements[k] for k in s.species], positions=s.positions, cell=s.cell, pbc=True)
    a, b = Target.from_structures(atoms, basis), Target.from_structures([s], basis)
    assert a.moments.sums.tobytes() == b.moments.sums.tobytes()


def test_arrays_hold_all_of_it(basis: Basis) -> None:
    target = Target.from_structures([some(0), some(1)], basis, names=["a", "ü"], groups=["g", "h"], covariance=True)
    arrays = target.to_arrays()
    assert all(array.dtype.kind in "fiub" for array in arrays.values())
    back = Target.from_arrays(arrays)
    again = back.to_arrays()
    assert arrays.keys() == again.keys()
    for key, array in arrays.items():
        assert array.tobytes() == again[key].tobytes(), key
    assert back.names == ("a", "ü")
    back.check_basis(basis)
    with pytest.raises(InputError, match="no stored target"):
        Target.from_arrays({"text": arrays["text"]})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"cutoff": 4.3}, "cutoff"),
        ({"elements": ["Au", "Ag"]}, "elements"),
        ({"n_max": (4, 2, 1)}, "functions per element"),
        ({"lam": 0.1}, "lambda"),
    ],
)
def test_a_target_of_another_basis_is_refused_naming_what_differs(basis: Basis, other: dict, message: str) -> None:
    settings = {"elements": ["Au", "Cu"], "n_max": (3, 2, 1), "l_max": (0, 2, 1), "cutoff": 4.2} | other
    with pytest.raises(InputError, match=f"another basis: {message}"):
        Target.from_structures([some(0)], basis).check_basis(build_basis(**settings))


def test_bad_structures_are_named(basis: Basis) -> None:
    near = some(0).replace(positions=np.vstack([some(0).positions[:5], some(0).positions[4] + [0.3, 0, 0]]))
    with pytest.raises(InputError, match=r"melt\[7\]: atoms 4 .* and 5 .* overlap: 0\.3000 Å"):
        Target.from_structures([some(1), near], basis, names=["a", "melt[7]"])
    on_top = some(0).replace(positions=np.vstack([some(0).positions[:5], some(0).positions[4]]))
    with pytest.raises(InputError, match=r"overlap: 0\.0000 Å"):
        Target.from_structures(on_top, basis)
    with pytest.raises(InputError, match="at least one"):
        Target.from_structures([], basis)
    with pytest.raises(InputError, match="weight of structure 1 is -1"):
        Target.from_structures([some(0), some(1)], basis, weights=[1, -1])
    with pytest.raises(InputError, match="all structures have weight 0"):
        Target.from_structures([some(0), some(1)], basis, weights=[0, 0])
    with pytest.raises(InputError, match="2 weights for 1"):
        Target.from_structures([some(0)], basis, weights=[1, 1])
    with pytest.raises(InputError, match="element Fe"):
        Target.from_structures(bulk("Fe"), basis)


def test_weight_0_leaves_a_structure_out(basis: Basis) -> None:
    both = Target.from_structures([some(0), some(1)], basis, weights=[0, 1], groups=["a", "b"], names=["x", "y"])
    alone = Target.from_structures([some(1)], basis, names=["y"], groups=["b"])
    assert (both.names, both.groups) == (("y",), ("b",))
    assert np.array_equal(both.moments.mean, alone.moments.mean)
    assert np.array_equal(both.sample_rows, alone.sample_rows)


def test_a_target_of_one_atom(basis: Basis) -> None:
    target = Target.from_structures(bulk("Cu", "fcc", a=3.6), basis)
    assert target.n_environments == 1
    assert not target.moments.sums.any()
    assert np.isfinite(target.moments.standardised()).all()


def test_the_sample_is_spread_evenly_by_weight(basis: Basis) -> None:
    structures = [some(k) for k in range(8)]
    whole = Target.from_structures(structures, basis)
    assert len(whole.sample_rows) == 48
    few = Target.from_structures(structures, basis, sample=12, weights=[1, 1, 1, 1, 1, 1, 1, 5])
    assert len(few.sample_rows) == 12
    last = describe_compact(structures[7], basis)
    kept = sum((row == last).all(axis=1).any() for row in few.sample_rows)
    assert kept == 5  # 5 of the total weight of 12 is the last structure's


def test_merged_targets_are_targets_of_all(basis: Basis) -> None:
    a, b = Target.from_structures([some(0)], basis), Target.from_structures([some(1)], basis)
    both = Target.from_structures([some(0), some(1)], basis)
    np.testing.assert_allclose(a.merged(b).moments.standardised(), both.moments.standardised(), rtol=1e-9, atol=1e-9)
    assert a.merged(b).n_environments == 12


# -- random alloys ------------------------------------------------------------------------------------------------


def test_the_exact_mean_is_the_mean_over_all_occupations() -> None:
    """A simple cubic lattice whose six neighbours can be occupied in 64 ways, with elements that differ in cutoff."""
    basis = build_basis(
        ["Au", "Cu"], n_max=(3, 2, 1, 1), l_max=(0, 2, 1, 1), cutoff={"Au-Au": 3.6, "Cu-Cu": 3.4, "Au-Cu": 3.8}
    )
    lattice = Structure(np.zeros((1, 3)), np.eye(3) * 3.0, np.zeros(1, np.int32), np.ones(3, bool))
    x = np.array([0.3, 0.7])
    expected = alloy.expected_descriptors(lattice, basis, x[None])
    assert expected is not None
    shell = 3.0 * np.vstack([np.zeros(3), np.eye(3), -np.eye(3)])
    for centre in range(2):
        mean = np.zeros(basis.sizes[centre])
        for occupation in product(range(2), repeat=6):
            cluster = Structure(shell, np.eye(3) * 30, np.array([centre, *occupation], np.int32), np.zeros(3, bool))
            row = describe_compact(cluster, basis, warn=False)[0, : basis.sizes[centre]]
            mean += np.prod(x[list(occupation)]) * row
        got = expected[basis.columns(centre)]
        np.testing.assert_allclose(got, mean, rtol=1e-10, atol=1e-12 * np.abs(mean).max())


def test_exact_mean_and_sample_agree_within_the_stated_error(basis: Basis) -> None:
    hcp = bulk("Cu", "hcp", a=2.6, c=4.2)
    sites = [{"Au": 0.2, "Cu": 0.8}, {"Au": 0.6, "Cu": 0.4}]
    exact = Target.random_alloy(hcp, basis, sites, samples=600)
    assert exact.mean_is_exact
    assert exact.errors is not None
    assert not exact.errors[0].any()
    np.testing.assert_allclose(exact.fractions, [0.4, 0.6], rtol=1e-12)
    mean = exact.moments.standardised()[0]
    # the cells that were drawn, described again, scatter about the exact mean
    drawn = np.zeros((40, basis.n_desc))
    fractions = alloy.site_fractions(sites, basis.elements, 2)
    lattice = Structure(hcp.positions, hcp.cell[:], np.zeros(2, np.int32), np.ones(3, bool))
    rng = np.random.default_rng(1)
    for k in range(40):
        drawn[k] = describe(alloy.draw_alloy(lattice, basis, fractions, rng), basis).mean(axis=0)
    error = drawn.std(axis=0, ddof=1) / np.sqrt(40)
    deviation = (drawn.mean(axis=0) - mean) / np.maximum(error, 1e-12 * np.abs(mean).max())
    assert np.abs(deviation).max() < 4.5
    assert deviation.std() < 1.6
    # and the standard errors of the variances are of the size of the scatter between seeds
    seeds = [Target.random_alloy(hcp, basis, sites, samples=600, seed=k) for k in range(8)]
    scatter = np.std([t.moments.standardised()[1] for t in seeds], axis=0, ddof=1)
    stated = np.mean([t.errors[1] for t in seeds if t.errors is not None], axis=0)
    assert 0.6 < np.median(scatter / stated) < 1.6


@pytest.mark.parametrize(
    ("composition", "message"),
    [
        ({"Au": 0.5, "Cu": 0.4}, "sum to 0.9"),
        ({"Au": 1.5, "Cu": -0.5}, "between 0 and 1"),
        ({"Au": 0.5, "Fe": 0.5}, "element Fe"),
        ([{"Au": 1.0}, {"Cu": 1.0}], "2 sites given for a lattice of 1"),
    ],
)
def test_bad_compositions(basis: Basis, composition: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Target.random_alloy(bulk("Cu", "fcc", a=3.6), basis, composition)  # type: ignore[arg-type]


def test_a_pure_random_alloy_is_the_crystal(basis: Basis) -> None:
    crystal = bulk("Cu", "fcc", a=3.6)
    pure = Target.random_alloy(crystal, basis, {"Cu": 1.0}, samples=100)
    plain = Target.from_structures(crystal, basis)
    np.testing.assert_allclose(pure.moments.mean, plain.moments.mean, rtol=1e-10, atol=1e-10)


def test_too_large_a_basis_falls_back_to_sampling_and_says_so(basis: Basis, monkeypatch: pytest.MonkeyPatch) -> None:
    assert alloy.expand(basis.programs[0], most=10) is None
    monkeypatch.setattr("grs_evo.targets.target.expected_descriptors", lambda *_: None)
    sampled = Target.random_alloy(bulk("Cu", "fcc", a=3.6), basis, {"Au": 0.5, "Cu": 0.5}, samples=300)
    assert not sampled.mean_is_exact
    assert sampled.errors is not None
    assert (sampled.errors[0] > 0).any()


@pytest.fixture(scope="module")
def large() -> tuple[Structure, Basis]:
    """9,000 atoms of two elements, five blocks."""
    rng = np.random.default_rng(3)
    atoms = bulk("Cu", cubic=True) * (15, 15, 10)
    atoms.symbols[rng.permutation(len(atoms))[:4000]] = "Au"
    atoms.positions += 0.1 * rng.standard_normal(atoms.positions.shape)
    basis = build_basis(["Au", "Cu"], (3, 2), (0, 1), cutoff=4.0)
    return from_atoms(atoms, basis.elements), basis


def _arrays_of(target: Target) -> dict[str, bytes]:
    return {name: np.asarray(array).tobytes() for name, array in target.to_arrays().items()}


def test_threads_change_no_bit_of_a_large_target(large: tuple[Structure, Basis]) -> None:
    structure, basis = large
    one, three = (Target.from_structures([structure], basis, covariance=True, threads=threads) for threads in (1, 3))
    assert _arrays_of(one) == _arrays_of(three)
    whole = moments.moments_of(describe_compact(structure, basis), structure.species, basis.sizes)
    np.testing.assert_allclose(one.moments.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(one.moments.sums, whole.sums, rtol=1e-9, atol=1e-9 * abs(whole.sums).max())
    assert one.nearest == pytest.approx(neighbours(structure, 3.0).distances.min(), rel=1e-12)


def test_a_crew_describes_as_one_rank_does(large: tuple[Structure, Basis]) -> None:
    """Every rank's share goes through the messages that ranks send."""
    structure, basis = large
    alone = Target.from_structures([structure], basis)

    def shared(job: Job) -> Iterator[Part]:
        for starts in (list(job.starts)[:2], list(job.starts)[2:]):
            there, mine = distributed_target._unpack(distributed_target._pack(job, starts))
            for part in parts_of(there, mine):
                yield Part.from_arrays(decode(encode(part.to_arrays())))

    assert _arrays_of(Target.from_structures([structure], basis, worker=shared)) == _arrays_of(alone)


def test_overlap_in_a_large_structure_names_the_atoms(large: tuple[Structure, Basis]) -> None:
    structure, basis = large
    positions = structure.positions.copy()
    positions[8000] = positions[17] + (0.0, 0.0, 0.3)
    with pytest.raises(InputError, match=r"melt: atoms 17 \(\w+\) and 8000 \(\w+\) overlap: 0.3000 Å apart"):
        Target.from_structures([structure.replace(positions=positions)], basis, names=["melt"])


# ---------------------------------------------------------------- pairs of atoms


def test_pairs_one_by_one_are_those_of_a_tree(monkeypatch):
    rng = np.random.default_rng(3)
    for n in (1, 4, 30):
        cell = np.diag(rng.uniform(2.0, 9.0, 3)) + rng.normal(0.0, 0.5, (3, 3))
        positions = rng.random((n, 3)) @ cell
        one = Structure(positions, cell, np.zeros(n, np.int32), np.array([True, False, True]))
        plain = neighbours(one, 4.0)
        with monkeypatch.context() as patch:
            patch.setattr("grs_evo.structures.neighbours._FEW", -1)
            for mine, other in zip(plain, neighbours(one, 4.0), strict=True):
                np.testing.assert_array_equal(mine, other)


def test_a_cutoff_in_a_wrong_unit_is_told_before_memory_runs_out() -> None:
    copper = bulk("Cu", cubic=True)
    basis = build_basis(["Cu"], (1,), (0,), 60.0)
    words = r"basis.cutoff: 60 Å holds some 7\d,\d{3} neighbours per atom of structure 0; at most 5,000"
    with pytest.raises(InputError, match=words):
        Target.from_structures([copper], basis)
    with pytest.raises(InputError, match="neighbours per atom of lattice"):
        Target.random_alloy(copper, basis, {"Cu": 1.0})
