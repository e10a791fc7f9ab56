"""Fixed sites against the general engine: the same descriptors and losses, however the loss is cut down."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lattice_probes import fill_a, value_changed
from scipy.special import lpmv

from grs_evo.descriptors.basis import build_basis
from grs_evo.descriptors.describe import describe, describe_compact
from grs_evo.descriptors.equivalence import prune
from grs_evo.descriptors.pair_functions import _legendre
from grs_evo.errors import InputError
from grs_evo.kernels.lattice import lattice as kernel
from grs_evo.loss.lattice import MOST_SITES, make_lattice_objective, reference_structures
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.structures.composition import Composition
from grs_evo.structures.neighbours import site_pairs
from grs_evo.structures.structure import Structure, from_atoms
from grs_evo.targets.target import Target

EASY = settings(max_examples=20, deadline=None)
SMALL = {"n_max": (4, 2, 2), "l_max": (0, 2, 2)}


def fcc(repeat: tuple[int, int, int], a: float = 3.75, rattle: float = 0.0) -> Structure:
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    grid = np.stack(np.meshgrid(*(np.arange(k) for k in repeat), indexing="ij"), -1).reshape(-1, 3)
    positions = a * (grid[:, None, :] + sites[None]).reshape(-1, 3)
    positions = positions + rattle * np.random.default_rng(0).standard_normal(positions.shape)
    return Structure(positions, a * np.diag(np.array(repeat, float)), np.zeros(len(positions)), np.ones(3, bool))


@cache
def system(name: str):
    """(basis, template): one cutoff for all; one for each pair; three elements; labels that differ by element."""
    if name == "one cutoff":
        return build_basis(("Au", "Cu"), cutoff=4.6, **SMALL), fcc((2, 2, 1))
    if name == "pair cutoffs":
        cutoff = {"Au-Au": 4.9, "Au-Cu": 4.3, "Cu-Au": 4.6, "Cu-Cu": 4.1}
        return build_basis(("Au", "Cu"), cutoff=cutoff, taper=0.3, cutoff_in=2.0, taper_in=0.2, **SMALL), fcc((1, 1, 2))
    if name == "three elements":
        return build_basis(("Fe", "Cr", "Si"), n_max=(3, 1), l_max=(0, 1), cutoff=4.0), fcc((3, 1, 3), rattle=0.1)
    if name == "small cell":
        return build_basis(("Au", "Cu"), cutoff=6.0, **SMALL), fcc((1, 1, 1), rattle=0.1)
    raise AssertionError(name)


SYSTEMS = ["one cutoff", "pair cutoffs", "three elements", "small cell"]


def objective(name: str, **options):
    basis, template = system(name)
    rng = np.random.default_rng(5)
    target = template.replace(species=rng.integers(0, basis.n_elements, template.n_atoms))
    aim = Target.from_structures([target], basis, covariance=options.get("covariance", 0) != 0)
    reference = ()
    if options.get("scale") in ("reference", "whitened"):
        reference = reference_structures(template, basis.n_elements, number=64 if name != "three elements" else 300)
    return make_objective(basis, aim, LossOptions(**options), reference=reference)


@pytest.mark.parametrize("name", SYSTEMS)
def test_descriptors_are_those_of_the_engine(name):
    basis, template = system(name)
    lattice = make_lattice_objective(objective(name), template)
    rng = np.random.default_rng(1)
    for _ in range(3):
        species = rng.integers(0, basis.n_elements, template.n_atoms)
        expected = describe_compact(template.replace(species=species), basis)
        size = np.abs(expected).max(0)
        # what vanishes by symmetry is rounding in both
        assert (np.abs(lattice.rows(species) - expected) <= 1e-12 * size + 1e-15 * size.max()).all()


LOSSES = {
    "means": {"variance": 0.0, "scale": "none"},
    "default": {},
    "whitened": {"variance": 0.0, "scale": "whitened"},
    "whitened, variances too": {"scale": "whitened"},
    "l2 per element": {"scale": "reference", "norm": "l2", "distribution": "per_element"},
    "huber": {"norm": "huber", "scale": "reference"},
    "higher moments": {"skewness": 0.3, "kurtosis": 0.1, "scale": "reference"},
    "reward and entropy": {"reward": 0.5, "w_entropy": 0.1},
    "a core that is felt": {"core": {"distances": {"Au-Au": 2.7, "Au-Cu": 2.9}}},
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_the_objective(name):
    if name == "whitened, variances too":
        judge = objective("pair cutoffs", **LOSSES[name])
        _, template = system("pair cutoffs")
    else:
        judge = objective("one cutoff", **LOSSES[name])
        _, template = system("one cutoff")
    lattice = make_lattice_objective(judge, template)
    occupations = np.random.default_rng(2).integers(0, 2, (6, template.n_atoms))
    values, terms = lattice.evaluate(occupations)
    fast = lattice.values(occupations)
    for k, species in enumerate(occupations):
        expected = judge.evaluate(template.replace(species=species))
        assert values[k] == pytest.approx(expected.value, rel=1e-12)
        assert terms[k] == pytest.approx(expected.terms, rel=1e-11, abs=1e-13)
        assert fast[k] == pytest.approx(expected.value, rel=1e-11)
    if name == "a core that is felt":
        assert terms[:, judge.term_names.index("core")].min() > 0.0
    assert (lattice.fast.kind == kernel.SUMS) == (name not in ("higher moments", "reward and entropy"))


@pytest.mark.parametrize("variance", [0.0, 1.0])
def test_a_set_is_counted_in(variance):
    judge = objective("one cutoff", variance=variance, scale="reference", w_set=0.7)
    _, template = system("one cutoff")
    rng = np.random.default_rng(3)
    members = judge.moments_of(template.replace(species=rng.integers(0, 2, template.n_atoms)))
    judge = judge.with_set(members)
    lattice = make_lattice_objective(judge, template)
    occupations = rng.integers(0, 2, (4, template.n_atoms))
    expected = [judge.evaluate(template.replace(species=species)).value for species in occupations]
    assert lattice.values(occupations) == pytest.approx(expected, rel=1e-11)
    assert lattice.evaluate(occupations)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", SYSTEMS)
@EASY
@given(data=st.data())
def test_changes_are_the_same_as_a_new_start(name, data):
    """A flip, a swap or several at once: the incremental loss is that of the changed occupation; nothing else moves."""
    basis, template = system(name)
    lattice = shared(name)
    n, n_el = template.n_atoms, basis.n_elements
    occupation = np.array(data.draw(st.lists(st.integers(0, n_el - 1), min_size=n, max_size=n)), np.int32)
    number = data.draw(st.integers(1, 5))
    sites = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=number, max_size=number)), np.int32)
    elements = np.array(data.draw(st.lists(st.integers(0, n_el - 1), min_size=number, max_size=number)), np.int32)
    before, wanted = occupation.copy(), elements.copy()
    fill_a(lattice.fast.tables, occupation, lattice.work.a)
    a = lattice.work.a.copy()
    value = value_changed(lattice.fast, lattice.scratch, occupation, sites, elements, number, lattice.work)
    assert (occupation == before).all()
    assert (elements == wanted).all()
    assert (lattice.work.a == a).all()
    for site, element in zip(sites, elements, strict=True):
        occupation[site] = element
    assert value == pytest.approx(lattice.values(occupation)[0], rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("name", SYSTEMS)
def test_swaps_and_flips_against_described_structures(name):
    """Mean descriptors after a change, from `describe`, give the loss of the incremental path to 1e-12."""
    basis, template = system(name)
    judge = objective(name, variance=0.0, scale="none")
    lattice = make_lattice_objective(judge, template)
    rng = np.random.default_rng(9)
    target = np.random.default_rng(5).integers(0, basis.n_elements, template.n_atoms)
    wanted = describe(template.replace(species=target), basis).mean(axis=0)
    for kind in ("swap", "flip") * 4:
        occupation = rng.permutation(np.arange(template.n_atoms) % basis.n_elements).astype(np.int32)
        sites = rng.choice(template.n_atoms, 2, replace=False).astype(np.int32)
        elements = occupation[sites[::-1]].copy()
        if kind == "flip":
            elements = ((occupation[sites] + 1) % basis.n_elements).astype(np.int32)
        n = 2 if kind == "swap" else 1
        fill_a(lattice.fast.tables, occupation, lattice.work.a)
        value = value_changed(lattice.fast, lattice.scratch, occupation, sites, elements, n, lattice.work)
        occupation[sites[:n]] = elements[:n]
        rows = describe(template.replace(species=occupation), basis)
        expected = np.abs(rows.mean(axis=0) - wanted).mean()
        assert value == pytest.approx(expected, rel=1e-12)


@cache
def shared(name: str):
    return make_lattice_objective(objective(name, variance=0.0, scale="reference"), system(name)[1])


def test_a_candidate_does_not_depend_on_its_batch():
    lattice = shared("one cutoff")
    occupations = np.random.default_rng(4).integers(0, 2, (9, lattice.n_sites))
    together = lattice.values(occupations)
    assert (together[::-1] == lattice.values(occupations[::-1])).all()
    assert all(together[k] == lattice.values(occupations[k])[0] for k in range(9))


def test_coinciding_functions_are_found_on_ideal_sites_only():
    """On fcc most functions coincide; on rattled sites none does. Both give the same loss (tests above)."""
    lattice = shared("one cutoff")
    assert lattice.n_representatives < 0.7 * lattice.n_functions
    basis, template = system("one cutoff")
    crooked = template.replace(positions=template.positions + 0.1 * np.random.default_rng(7).random((16, 3)))
    other = make_lattice_objective(objective("one cutoff", variance=0.0), crooked)
    assert other.n_representatives == other.n_functions == basis.n_desc


def test_a_pruned_program_gives_the_same_functions():
    basis, _ = system("one cutoff")
    program = basis.programs[0]
    wanted = np.arange(3, len(program.b_rows), 5)
    (small,), kept = prune([program], [wanted], 2)
    a = np.random.default_rng(0).standard_normal(program.n_a)
    per_element = program.n_a // 2

    def run(one, rows):
        buf = np.zeros(one.n_rows)
        buf[: one.n_a], buf[one.n_a] = rows, 1.0
        for s, (first, last) in enumerate(pairwise(one.fwd_start)):
            buf[one.fwd_dst[s]] = sum(one.fwd_c[t] * buf[one.fwd_x[t]] * buf[one.fwd_y[t]] for t in range(first, last))
        return buf[one.b_rows]

    rows = np.concatenate([a[kept], a[per_element + kept]])
    assert run(small, rows) == pytest.approx(run(program, a)[wanted], rel=1e-14)
    assert small.n_rows < program.n_rows


def test_pairs_hold_self_images_and_both_directions():
    template = fcc((1, 1, 1))
    pairs = site_pairs(template, 3.8)
    distance = np.sqrt((pairs.vector**2).sum(1))
    assert len(distance) == 4 * (12 + 6)
    assert (pairs.centre == pairs.neighbour).sum() == 4 * 6
    assert np.allclose(pairs.vector.sum(0), 0.0)
    wire = template.replace(pbc=np.array([False, False, True]))
    assert (site_pairs(wire, 3.8).centre == site_pairs(wire, 3.8).neighbour).sum() == 4 * 2


def test_references_have_random_compositions_unless_it_is_fixed():
    template = fcc((2, 2, 2))
    free = np.array([s.counts(2)[0] for s in reference_structures(template, 2, number=400)])
    assert free.min() == 0
    assert free.max() == 32
    assert np.histogram(free, bins=4, range=(0, 33))[0].min() > 60
    rule = Composition("counts", np.array([8.0, 24.0]), np.array([8.0, 24.0]))
    assert {int(s.counts(2)[0]) for s in reference_structures(template, 2, rule, number=20)} == {8}
    again = reference_structures(template, 2, number=5)
    same = reference_structures(template, 2, number=5)
    assert all((a.species == b.species).all() for a, b in zip(again, same, strict=True))


def test_wrong_input_is_named():
    _, template = system("one cutoff")
    judge = objective("one cutoff")
    lattice = make_lattice_objective(judge, template)
    with pytest.raises(InputError, match="12 sites; the lattice has 16"):
        lattice.values(np.zeros((3, 12), int))
    with pytest.raises(InputError, match="element index 2"):
        lattice.evaluate(np.full(16, 2))
    with pytest.raises(InputError, match="shape"):
        make_lattice_objective(judge, template, np.ones((4, 2), bool))
    with pytest.raises(InputError, match="site 3 may hold no element"):
        make_lattice_objective(judge, template, np.arange(16)[:, None].repeat(2, 1) != 3)
    with pytest.raises(InputError, match="at most"):
        make_lattice_objective(judge, fcc((7, 7, 7)))
    assert MOST_SITES < 4 * 7**3
    doubled = np.concatenate([template.positions, template.positions[:1]])
    with pytest.raises(InputError, match="sites 0 and 16"):
        make_lattice_objective(judge, Structure(doubled, template.cell, np.zeros(17), template.pbc))
    with pytest.raises(InputError, match="no occupation"):
        reference_structures(template, 2, Composition("counts", np.array([3.0, 3.0]), np.array([3.0, 3.0])))


def test_from_atoms_and_back_keeps_the_sites():
    """A template made of ase.Atoms occupied by evaluate's own structure() gives the same loss."""
    ase = pytest.importorskip("ase.build")
    basis, _ = system("one cutoff")
    atoms = ase.bulk("Cu", a=3.75, cubic=True).repeat((2, 2, 1))
    lattice = make_lattice_objective(objective("one cutoff"), from_atoms(atoms, basis.elements))
    occupation = np.arange(16) % 2
    expected = lattice.objective.evaluate(lattice.structure(occupation)).value
    assert lattice.values(occupation)[0] == pytest.approx(expected, rel=1e-11)


def test_legendre_functions_are_those_of_scipy():
    x = np.concatenate([np.linspace(-1.0, 1.0, 401), [0.0, np.sqrt(0.5), -np.sqrt(1 / 3)]])
    for l in range(13):
        for m in range(l + 1):
            expected = lpmv(m, l, x)
            error = np.abs(_legendre(m, l, x) - expected).max()
            assert error <= 1e-13 * np.abs(expected).max(), (l, m)
