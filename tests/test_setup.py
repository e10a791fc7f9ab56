"""From a run file to the problem that islands work on, and the target that is stored by itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small
from ase.build import bulk
from ase.io import write

from grs_evo.driver import setup
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.config.toml import to_toml
from grs_evo.errors import InputError
from grs_evo.search.counters import COUNTERS, Ledger
from grs_evo.search.fresh_candidates import NoCandidates
from grs_evo.search.operators.table import operator_names
from grs_evo.storage.target_file import TargetData
from grs_evo.targets.target import Target


def _problem(folder: Path, text: str = small.LATTICE):
    run = parse(small.write(folder, text).read_text(), "case")
    return setup.make_problem(run, setup.make_target_data(run, folder), folder)


def test_a_problem_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    one, other = _problem(tmp_path), _problem(tmp_path)
    assert one.islands == other.islands
    assert one.archive == other.archive
    structure = one.sources[0].templates[0]
    assert one.objective.evaluate(structure).value == other.objective.evaluate(structure).value


def test_islands_of_their_own_candidates_have_their_own_source(tmp_path: Path) -> None:
    text = small.LATTICE.replace("islands = 5", "") + (
        '[[islands]]\ncount = 2\n[[islands]]\n[islands.candidates]\nkind = "lattice"\nlattice = "bcc"\n'
        'repeat = [2, 1, 1]\ncomposition = "free"\n'
    )
    first, second, third = _problem(tmp_path, text).sources
    assert first is second
    assert third is not first


def test_a_target_is_stored_with_its_structures(tmp_path: Path) -> None:
    small.write(tmp_path)
    line = setup.store_target([str(tmp_path / "target.xyz")], tmp_path / "t.h5", cutoff=4.0)
    assert line.endswith("t.h5: 4 environments of 1 structure; Cu, Au")
    stored = TargetData.read(tmp_path / "t.h5")
    assert stored.target.n_environments == 4
    assert np.array_equal(stored.structures[0].cell, 3.75 * np.eye(3))


@pytest.mark.parametrize(
    ("out", "files", "message"),
    [
        ("target.xyz", ["target.xyz"], "exists already"),
        ("t.h5", [], "name structure files"),
    ],
)
def test_a_target_that_cannot_be_stored_is_refused(tmp_path: Path, out: str, files: list[str], message: str) -> None:
    small.write(tmp_path)
    with pytest.raises(InputError, match=message):
        setup.store_target([str(tmp_path / name) for name in files], tmp_path / out, cutoff=4.0)


def test_the_rehearsal_finds_what_has_no_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = _problem(tmp_path)
    setup.rehearse(problem)

    def nothing(*_: object) -> None:
        counts = (np.zeros(len(names), np.int64) for names in (COUNTERS, operator_names(), operator_names()))
        raise NoCandidates(0, Ledger(*counts, next_uid=0, generation=0))

    monkeypatch.setattr(setup.island, "start", nothing)
    with pytest.raises(NoCandidates):
        setup.rehearse(problem)
    small.write(tmp_path)
    relaxed = replace(problem, relax=parse(small.RELAXED, "case").relax)
    setup.rehearse(relaxed)  # a few steps of relaxation say nothing about the run


METAL, NITROGEN = "{Ti = 0.5, Al = 0.5}", "{N = 1.0}"
ROCKSALT = """
[target]
files = ["tin.xyz"]
alloy = {lattice = "file", composition = COMPOSITION}
[basis]
n_max = [2, 1]
l_max = [0, 1]
cutoff = 3.2
[candidates]
kind = "lattice"
lattice = "file"
file = "tin.xyz"
sites = [["Ti", "Al"], ["N"], ["Ti", "Al"], ["N"], ["Ti", "Al"], ["N"], ["Ti", "Al"], ["N"]]
[stop]
generations = 1
"""


def test_a_random_alloy_has_a_composition_for_each_site(tmp_path: Path) -> None:
    """Metals share their sublattice, nitrogen has its own: the exact means of the Python side."""
    atoms = bulk("TiN", "rocksalt", a=4.24, cubic=True)
    write(tmp_path / "tin.xyz", atoms, format="extxyz")
    order = "[" + ", ".join(METAL if symbol == "Ti" else NITROGEN for symbol in atoms.get_chemical_symbols()) + "]"
    run = parse(ROCKSALT.replace("COMPOSITION", order), "run.toml")
    assert run.target.alloy is not None
    assert run.target.alloy.occupants == ("Ti", "Al", "N")
    data = setup.make_target_data(run, tmp_path)
    each = [{"Ti": 0.5, "Al": 0.5} if symbol == "Ti" else {"N": 1.0} for symbol in atoms.get_chemical_symbols()]
    wanted = Target.random_alloy(atoms, data.basis, each)
    assert data.target.mean_is_exact
    assert np.allclose(data.target.moments.central("per_element")[0], wanted.moments.central("per_element")[0])
    assert parse(to_toml(run), "run.toml") == run
    for composition, words in (
        (f"[{METAL}, {NITROGEN}]", "2 sites given for a lattice of 8"),
        (order.replace("N = 1.0", "N = 0.9"), "sum to 0.9"),
    ):
        with pytest.raises(InputError, match=words):
            setup.make_target_data(parse(ROCKSALT.replace("COMPOSITION", composition), "run.toml"), tmp_path)
