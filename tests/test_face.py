"""The Python face: all that may stand for structures, wrong order and kind of arguments, targets in files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import iread, write

import grs_evo
from grs_evo import (
    BasisOptions,
    CandidateOptions,
    CoreOptions,
    GRSCalculator,
    InputError,
    LossOptions,
    RelaxOptions,
    Target,
    build_basis,
    make_objective,
    read_structures,
    read_target,
    relax,
    write_target,
)
from grs_evo.datasets.labels import read_labelled
from grs_evo.descriptors.basis import Basis
from grs_evo.loss.objective import Objective
from grs_evo.structures.structure import from_atoms


def frames() -> list[Atoms]:
    some = [bulk("Cu", "fcc", a=3.7, cubic=True) for _ in range(4)]
    for k, atoms in enumerate(some):
        atoms.rattle(0.1, rng=np.random.default_rng(k))
        atoms.info["group"] = "cold" if k < 2 else "hot"
    return some


@pytest.fixture(scope="module")
def basis() -> Basis:
    return build_basis(["Cu"], n_max=(3, 1), l_max=(0, 1), cutoff=4.0)


@pytest.fixture(scope="module")
def target(basis: Basis) -> Target:
    return Target.from_structures(frames(), basis)


@pytest.fixture(scope="module")
def objective(basis: Basis, target: Target) -> Objective:
    return make_objective(basis, target)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "some.extxyz", frames())
    return tmp_path / "some.extxyz"


def test_all_that_can_stand_for_structures(basis: Basis, file: Path) -> None:
    want = Target.from_structures([from_atoms(one, basis.elements) for one in iread(file)], basis)
    entries = read_structures(file, basis.elements)
    forms: list[Any] = [iread(file), file, str(file), f"{file}@:", entries, tuple(iread(file)), iter(entries)]
    forms += [[f"{file}@:2", f"{file}@2", entries[3]], (one.structure for one in entries)]
    for form in forms:
        made = Target.from_structures(form, basis)
        assert made.moments.sums.tobytes() == want.moments.sums.tobytes()
        assert made.n_atoms.tolist() == [4, 4, 4, 4]
    one = Target.from_structures(frames()[0], basis)
    assert one.n_environments == 4
    assert one.names == ("structure 0",)


def test_entries_bring_weights_names_and_groups(basis: Basis, file: Path) -> None:
    entries = read_structures(file, basis.elements, weights={"hot": 3.0})
    made = Target.from_structures(entries, basis)
    assert made.weights.tolist() == [1, 1, 3, 3]
    assert made.groups == ("cold", "cold", "hot", "hot")
    assert made.names[2] == f"{file}[2]"
    own = Target.from_structures(entries, basis, weights=[1, 2, 1, 1], groups=["x"] * 4, names=list("abcd"))
    assert own.weights.tolist() == [1, 2, 1, 1]
    assert own.groups == ("x",) * 4
    assert own.names == ("a", "b", "c", "d")


def test_objectives_take_atoms(basis: Basis, objective: Objective) -> None:
    atoms = frames()[1]
    structure = from_atoms(atoms, basis.elements)
    assert objective.evaluate(atoms).value == objective.evaluate(structure).value
    assert objective.gradient(atoms)[1].tobytes() == objective.gradient(structure)[1].tobytes()
    assert objective.moments_of(atoms).sums.tobytes() == objective.moments_of(structure).sums.tobytes()


def test_relax_and_calculator_take_a_target(target: Target, objective: Objective) -> None:
    options = RelaxOptions(max_evaluations=20)
    assert relax(frames()[0], target, options).value == relax(frames()[0], objective, options).value
    atoms = frames()[0]
    atoms.calc = GRSCalculator(target)
    assert atoms.get_potential_energy() == objective.evaluate(atoms).value
    bare = Target.from_arrays(target.to_arrays())
    with pytest.raises(InputError, match="does not hold its basis"):
        relax(frames()[0], bare)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda b, t, o, a: Target.from_structures(b, [a]),
            r"Target.from_structures\(structures, basis\): basis is a li",
        ),
        (lambda b, t, o, a: Target.from_structures(b, b), "structures is a Basis; it must be ase.Atoms, a Structure"),
        (lambda b, t, o, a: Target.from_structures([a, 3], b), "structure 1 is an int; it must be ase.Atoms or a"),
        (lambda b, t, o, a: Target.from_structures(None, b), "structures is None"),
        (lambda b, t, o, a: Target.random_alloy(b, a, {}), "random_alloy.*: basis is an Atoms; it must be a Basis"),
        (lambda b, t, o, a: Target.random_alloy("fcc", b, {"Cu": 1.0}), "random_alloy.*: lattice is a str"),
        (lambda b, t, o, a: make_objective(t, b), r"make_objective\(basis, target, options\): basis is a Target"),
        (lambda b, t, o, a: make_objective(b, [a]), "target is a list; it must be a Target"),
        (lambda b, t, o, a: make_objective(b, t, {"mean": 1.0}), "options is a dict; it must be a LossOptions"),
        (lambda b, t, o, a: GRSCalculator(b, t), "the first argument is a Basis; it must be an Objective or a Target"),
        (lambda b, t, o, a: GRSCalculator(o, options=LossOptions()), "an Objective has its own"),
        (
            lambda b, t, o, a: relax(o, a),
            r"relax\(structure, objective, options\): objective is an Atoms; it must be an O",
        ),
        (lambda b, t, o, a: relax([a], o), "structure is a list; it must be ase.Atoms"),
        (lambda b, t, o, a: relax(a, o, LossOptions()), "options is a LossOptions; it must be a RelaxOptions"),
        (lambda b, t, o, a: o.evaluate([a]), "structure is a list; it must be ase.Atoms or a Structure"),
        (lambda b, t, o, a: read_structures(["Cu"], "x.extxyz"), "elements is a str; it must be a list of chemical"),
        (lambda b, t, o, a: write_target("x.h5", t), r"write_target\(target, path\): target is a str"),
    ],
)
def test_arguments_in_each_others_place_are_told(
    call: Any, message: str, basis: Basis, target: Target, objective: Objective
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        call(basis, target, objective, frames()[0])
    assert isinstance(caught.value, TypeError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LossOptions(norm="l3"), "LossOptions: norm: is \"l3\"; must be 'l1', 'l2' or 'huber'"),
        (lambda: LossOptions(variances=1.0), "LossOptions: variances: unknown key .did you mean 'variance'"),
        (lambda: LossOptions(core={"widht": 1.0}), "LossOptions: core.widht: unknown key .did you mean 'width'"),
        (lambda: CoreOptions(width=-1.0), "CoreOptions: width: is -1.0; must be greater than 0"),
        (lambda: RelaxOptions(max_step=3), r"RelaxOptions: max_step: is 3; must be less than or equal to 2 \[Å\]"),
        (lambda: CandidateOptions(counts={}, limits={}), "only one of counts, fractions, limits"),
        (lambda: BasisOptions(cutoff=float("nan")), "BasisOptions: cutoff"),
    ],
)
def test_mistakes_in_options_are_one_line(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_targets_in_files(tmp_path: Path, basis: Basis, target: Target) -> None:
    path = tmp_path / "t.h5"
    write_target(target, path)
    for back in (read_target(path), read_target(str(path), basis)):
        for name, array in target.to_arrays().items():
            assert array.tobytes() == back.to_arrays()[name].tobytes(), name
        assert back.basis is not None
        assert back.basis.hash == basis.hash
    with pytest.raises(InputError, match=r"t\.h5: the target belongs to another basis: cutoff"):
        read_target(path, build_basis(["Cu"], n_max=(3, 1), l_max=(0, 1), cutoff=4.5))
    with pytest.raises(InputError, match="does not hold its basis"):
        write_target(Target.from_arrays(target.to_arrays()), tmp_path / "u.h5")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"t\.h5: "):
        read_target(path)
    with pytest.raises(InputError, match=r"none\.h5"):
        read_target(tmp_path / "none.h5")


def test_structures_of_pymatgen_can_stand_for_atoms(basis: Basis, objective: Objective) -> None:
    """Where pymatgen is not installed, by what alone is used of it: `to_ase_atoms`."""
    atoms = frames()[1]
    try:
        from pymatgen.core import Lattice, Structure

        other: Any = Structure(Lattice(atoms.cell[:]), ["Cu"] * len(atoms), atoms.positions, coords_are_cartesian=True)
        shared: Any = Structure(Lattice.cubic(3.7), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    except ImportError:

        class Other:
            def __init__(self, fails: bool) -> None:
                self.fails = fails

            def to_ase_atoms(self) -> Atoms:
                if self.fails:
                    raise ValueError("ASE Atoms only supports ordered structures")
                return atoms.copy()

        other, shared = Other(False), Other(True)
    assert objective.evaluate(other).value == pytest.approx(objective.evaluate(atoms).value, rel=1e-9)
    assert Target.from_structures([other, atoms], basis).n_environments == 8
    assert Target.from_structures(other, basis).n_environments == 4
    assert relax(other, objective, RelaxOptions(max_evaluations=5)).structure.get_chemical_symbols() == ["Cu"] * 4
    assert grs_evo.describe(other, basis).shape == grs_evo.describe(atoms, basis).shape
    assert len(list(read_labelled([other, atoms]))) == 2
    with pytest.raises(InputError, match=r"cannot be turned into ase.Atoms .*ordered structures"):
        objective.evaluate(shared)


def test_every_public_name_is_there() -> None:
    for name in grs_evo.__all__:
        assert getattr(grs_evo, name) is not None
