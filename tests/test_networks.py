"""Networks of bonds: what a target shows, strain and its slopes, exchange of bonds, cells that keep their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

import grs_evo
from grs_evo import InputError
from grs_evo.driver.session import resume, run
from grs_evo.kernels.relaxation.exchange import Plan, exchange_bonds
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.disordered.networks import find_network, numbers_told
from grs_evo.search.candidates.source import CandidateOptions, candidate
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.networks.bonding import completed
from grs_evo.structures.networks.usual import Network, bonded_as_found, strain
from grs_evo.structures.structure import Structure, from_atoms

ELEMENTS = ("O", "Si")


def silica(seed: int = 0, rattle: float = 0.05, repeat: int = 2) -> Atoms:
    """β-cristobalite, displaced: every Si in the middle of four O."""
    atoms = bulk("Si", a=7.13, cubic=True)
    pairs = neighbours(from_atoms(atoms, ("Si",)), 3.2)
    once = pairs.first < pairs.second
    middles = atoms.positions[pairs.first[once]] + 0.5 * pairs.vectors[once]
    atoms = (atoms + Atoms("O" * len(middles), middles)) * (repeat, repeat, repeat)
    atoms.positions += np.random.default_rng(seed).normal(0, rattle, atoms.positions.shape)
    return atoms


def network_of(atoms: Atoms, elements: tuple[str, ...] = ELEMENTS) -> Network:
    found = find_network([from_atoms(atoms, elements)], elements)
    assert found.network is not None, found.told
    return found.network


def numbers(structure: Structure, network: Network) -> np.ndarray:
    """(n, n_el) bonded neighbours of each atom."""
    pairs = neighbours(structure, float(network.bonds.max()))
    near = pairs.distances < network.bonds[structure.species[pairs.first], structure.species[pairs.second]]
    found = np.zeros((structure.n_atoms, len(network.bonds)), int)
    np.add.at(found, (pairs.first[near], structure.species[pairs.second[near]]), 1)
    return found


@pytest.fixture(scope="module")
def network() -> Network:
    return network_of(silica())


def test_what_a_target_shows(network: Network) -> None:
    springs = network.springs
    assert springs.lengths[0, 1] == pytest.approx(7.13 * 3**0.5 / 8, abs=0.02)
    assert springs.lengths[0, 0] == springs.lengths[1, 1] == 0.0
    assert springs.cosines[1, 0, 0] == pytest.approx(-1 / 3, abs=0.01)
    assert springs.cosines[0, 1, 1] < -0.95
    assert 2.2 < springs.second[0, 0] < 2.7
    assert springs.second[0, 1] == 0.0
    assert 4.5 < springs.farther[1, 1] < 5.05
    assert all((rows == wanted).all() for rows, wanted in zip(network.numbers, ([0, 2], [4, 0]), strict=True))
    assert numbers_told(network, ELEMENTS) == "O with 2 Si, Si with 4 O"
    diamond = bulk("C", cubic=True) * (2, 2, 2)
    diamond.rattle(0.06, seed=1)
    of_diamond = network_of(diamond, ("C",))
    assert of_diamond.numbers[0].tolist() == [[4]] * 64
    assert of_diamond.strain == pytest.approx(4.0)  # two lengths and six angles of an atom, each worth 1/2


@pytest.mark.parametrize(
    ("atoms", "why"),
    [
        (bulk("Cu", cubic=True) * (2, 2, 2), "seven and more"),
        (bulk("NaCl", "rocksalt", a=5.64, cubic=True) * (2, 2, 2), "seven and more"),
        (Atoms("Si2", [[0, 0, 0], [0, 0, 2.3]], cell=[8, 8, 8], pbc=[True, True, False]), "not periodic"),
    ],
)
def test_metals_and_salts_are_no_networks(atoms: Atoms, why: str) -> None:
    elements = tuple(sorted(set(atoms.get_chemical_symbols())))
    atoms.rattle(0.02, seed=3)
    found = find_network([from_atoms(atoms, elements)], elements)
    assert found.network is None
    assert why in found.told


def test_slopes_of_the_strain(network: Network) -> None:
    one = from_atoms(silica(5, rattle=0.25, repeat=1), ELEMENTS)
    ideal = from_atoms(silica(5, rattle=0.0, repeat=1), ELEMENTS)
    pairs = neighbours(ideal, 1.8)
    bonds = bonded_as_found(ideal, pairs, np.ones(len(pairs.first), bool))
    # walls that some pairs are within
    springs = network.springs._replace(
        second=network.springs.second + 0.2, farther=np.array([[3.6, 3.4], [3.4, 5.2]]), wall=30.0
    )
    value, slopes, virial = strain(one, bonds, springs)
    assert value > strain(one, bonds, springs._replace(wall=0.0))[0] > 0.0
    h = 1e-5
    for atom, axis in [(0, 0), (5, 1), (12, 2), (23, 0)]:
        moved = np.zeros_like(one.positions)
        moved[atom, axis] = h
        ends = [strain(one.replace(positions=one.positions + s * moved), bonds, springs)[0] for s in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(slopes[atom, axis], rel=1e-6, abs=1e-4)
    for a, b in [(0, 0), (1, 2), (2, 0)]:
        bent = np.zeros((3, 3))
        bent[a, b] = h
        ends = []
        for s in (1, -1):
            change = (np.eye(3) + s * bent).T
            ends.append(
                strain(one.replace(positions=one.positions @ change, cell=one.cell @ change), bonds, springs)[0]
            )
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(virial[a, b], rel=1e-6, abs=1e-3)


def test_exchanges_keep_every_number_of_bonds(network: Network) -> None:
    one = from_atoms(silica(1, repeat=1), ELEMENTS)
    pairs = neighbours(one, 2.0)
    bonds = bonded_as_found(one, pairs, np.ones(len(pairs.first), bool))
    before = {tuple(pair) for pair in np.sort(bonds.ends, axis=1).tolist()}
    plan = Plan(40, 1e6, 1e6, 8, 0.0, 60, True, 3.0)  # so hot that nearly all is kept
    positions, cell, species = np.array(one.positions), np.array(one.cell), np.array(one.species)
    value, kept = exchange_bonds(np.random.default_rng(2), positions, cell, species, bonds, network.springs, plan)
    after = {tuple(pair) for pair in np.sort(bonds.ends, axis=1).tolist()}
    assert kept > 10
    assert after != before
    assert bonds.degree.tolist() == [4 if s else 2 for s in one.species]
    assert all(len({one.species[i], one.species[j]}) == 2 for i, j in after)
    for atom in range(one.n_atoms):
        own = bonds.links[atom, : bonds.degree[atom]]
        assert all(atom in bonds.ends[k] for k in own)
        assert len(set(own.tolist())) == bonds.degree[atom]
    moved = one.replace(positions=positions, cell=cell)
    assert value == pytest.approx(strain(moved, bonds, network.springs)[0])
    assert moved.volume == pytest.approx(one.volume)


def test_cells_from_random_places_are_networks(network: Network) -> None:
    target = from_atoms(silica(), ELEMENTS)
    source = bind(CandidateOptions(kind="random", sizes=(24, 24), network=True), ELEMENTS, [target])
    rng = np.random.default_rng(0)
    drawn = candidate(rng, source)
    assert drawn is not None
    assert source.limits.network is not None
    made, bonds = completed(rng, drawn, source.limits.network, True)
    wanted = [[0, 2] if s == 0 else [4, 0] for s in made.species]
    found = np.zeros((24, 2), int)
    for i, j in bonds.ends:
        found[i, made.species[j]] += 1
        found[j, made.species[i]] += 1
    assert found.tolist() == wanted
    assert (numbers(made, network) == wanted).mean() > 0.95
    assert made.volume == pytest.approx(drawn.volume)
    # a network that is whole stays one, whatever is asked of it again
    again, same = completed(rng, made, source.limits.network, False)
    assert strain(again, same, network.springs)[0] <= 1.001 * strain(made, bonds, network.springs)[0]
    with pytest.raises(InputError, match="network: is true, but the target is no network of bonds"):
        bind(
            CandidateOptions(kind="random", sizes=(8, 8), network=True),
            ("Cu",),
            [from_atoms(bulk("Cu", cubic=True), ("Cu",))],
        )


RUN = """
[target]
files = ["target.xyz"]
[basis]
n_max = [8, 1]
l_max = [0, 1]
cutoff = 5.0
[candidates]
kind = "random"
sizes = [12, 12]
[search]
islands = 1
population = 2
[relax]
max_evaluations = 60
[stop]
generations = 2
"""


def test_a_search_keeps_bonds_and_goes_on_as_if_never_stopped(tmp_path: Path, network: Network) -> None:
    write(tmp_path / "target.xyz", silica(rattle=0.08))
    (tmp_path / "case.toml").write_text(RUN)
    (tmp_path / "short.toml").write_text(RUN.replace("generations = 2", "generations = 1"))
    whole = run(tmp_path / "case.toml", quiet=True)
    short = run(tmp_path / "short.toml", quiet=True)
    resume(short.folder, extend="stop.generations=2", quiet=True)
    archive = grs_evo.read_archive(whole.folder)
    assert archive.archive_hash == grs_evo.read_archive(short.folder).archive_hash
    best = from_atoms(archive.atoms(0), ELEMENTS)
    wanted = [[0, 2] if s == 0 else [4, 0] for s in best.species]
    assert (numbers(best, network) == wanted).mean() > 0.95
