"""A basis for a target: cutoffs between shells, radial functions that resolve its distances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

import grs_evo
from grs_evo.cli.check import check
from grs_evo.descriptors.options import BasisOptions, default_cutoffs
from grs_evo.descriptors.pair_functions import pair_functions
from grs_evo.driver.chosen.basis import chosen_basis, is_open, radial_functions, resolution, resolution_note
from grs_evo.observables.counting.sampled import pair_density
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure, from_atoms

ELEMENTS = ("Cu", "Au")


def disordered(seed: int = 0, amplitude: float = 0.12) -> Structure:
    rng = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True, a=3.9) * (4, 4, 4)
    atoms.symbols[:] = rng.choice(ELEMENTS, len(atoms))
    atoms.positions += rng.normal(0, amplitude, (len(atoms), 3))
    return from_atoms(atoms, ELEMENTS)


def test_neighbours_over_distance_are_those_of_a_plain_count() -> None:
    structure = disordered()
    density = pair_density([structure], 2, 5.0)
    found = neighbours(structure, 5.0)
    for a in range(2):
        for b in range(2):
            own = (structure.species[found.first] == a) & (structure.species[found.second] == b)
            assert density.mean[a, b].sum() * density.counted[a] == pytest.approx(own.sum())
    assert np.nanmin(density.nearest) == pytest.approx(found.distances.min(), abs=0.01)


def test_radial_functions_are_the_basis_s() -> None:
    basis = grs_evo.build_basis(ELEMENTS, (6,), (0,), 5.0)
    r = np.linspace(0.5, 4.9, 50)
    vectors = np.stack([r, 0 * r, 0 * r], axis=1)
    assert radial_functions(basis, 0, 1, r, 6) == pytest.approx(pair_functions(basis, 0, 1, vectors).T, abs=1e-12)


def test_more_functions_and_wider_peaks_are_resolved_better() -> None:
    ratios = []
    for amplitude in (0.12, 0.35):
        density = pair_density([disordered(amplitude=amplitude)], 2, 6.0)
        few, many = (resolution(grs_evo.build_basis(ELEMENTS, (n,), (0,), 6.0), density).ratio for n in (8, 24))
        assert many < 0.6 * few
        ratios.append(few)
    assert ratios[1] < ratios[0]


def test_cutoffs_end_between_shells_and_no_function_is_missing() -> None:
    chosen = chosen_basis(BasisOptions(), [disordered(amplitude=0.06)], ELEMENTS)
    assert isinstance(chosen.cutoff, dict)
    shells = 3.9 * np.sqrt(np.arange(1, 8) / 2)
    for pair, cutoff in chosen.cutoff.items():
        assert np.abs(shells - cutoff).min() > 0.15, pair
        assert cutoff < default_cutoffs(ELEMENTS).max() * 1.1
    assert chosen.cutoff["Cu-Au"] == chosen.cutoff["Au-Cu"]
    assert chosen.n_max[0] > 8
    found = grs_evo.build_basis(ELEMENTS, chosen.n_max, chosen.l_max, chosen.cutoff)
    assert max(found.sizes) <= 400


def test_a_crystal_on_its_sites_has_the_paper_s_functions() -> None:
    crystal = from_atoms(bulk("Cu", cubic=True, a=3.6), ("Cu",))
    chosen = chosen_basis(BasisOptions(), [crystal], ("Cu",))
    assert (chosen.n_max, chosen.l_max) == ([8, 2, 2, 1], [0, 2, 2, 1])
    shells = 3.6 * np.sqrt(np.arange(1, 20) / 2)
    assert np.abs(shells - chosen.cutoff["Cu-Cu"]).min() > 0.1  # type: ignore[index]


@pytest.mark.parametrize("given", [{"n_max": [4]}, {"cutoff": 5.0}, {"preset": "paper"}, {"yace": "x.yace"}])
def test_what_is_given_is_not_chosen(given: dict) -> None:
    assert not is_open(BasisOptions(**given))
    assert is_open(BasisOptions(elements=["Cu"]))


def test_a_basis_that_does_not_resolve_is_told_with_what_would() -> None:
    sharp = [disordered()]
    poor = grs_evo.build_basis(ELEMENTS, (4,), (0,), 6.0)
    (line,) = resolution_note(poor, sharp, compared=False)
    assert "4 radial functions to 6.0 Å do not resolve its distances" in line
    assert "n_max = [" in line
    assert resolution_note(poor, sharp, compared=True) == ()
    assert resolution_note(poor, [from_atoms(bulk("Cu", cubic=True, a=3.6), ELEMENTS)], compared=False) == ()


def test_a_run_file_without_a_basis_gets_one_and_a_preset_the_paper_s(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    atoms = bulk("Cu", cubic=True, a=3.9) * (3, 3, 3)
    atoms.positions += rng.normal(0, 0.2, (len(atoms), 3))
    write(tmp_path / "target.xyz", atoms, format="extxyz")
    text = '[target]\nfiles = ["target.xyz"]\n[candidates]\nkind = "random"\nsizes = [8, 8]\n'
    (tmp_path / "open.toml").write_text(text)
    found = check(tmp_path / "open.toml")
    assert any(note.startswith("basis: n_max = [") for note in found["notes"])
    assert found["settings"]["basis"]["n_max"][0] > 8
    assert found["settings"]["basis"]["cutoff"]["Cu-Cu"] == found["cutoffs"]["Cu-Cu"]
    (tmp_path / "paper.toml").write_text(text + '[basis]\npreset = "paper"\n')
    paper = check(tmp_path / "paper.toml")
    assert paper["settings"]["basis"]["n_max"] == [8, 2, 2, 1]
    assert paper["cutoffs"]["Cu-Cu"] == pytest.approx(default_cutoffs(["Cu"])[0, 0])
