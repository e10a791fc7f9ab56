"""The runs that come with the program: their files are right, and their small variants do what their READMEs say."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pinned_runs
import pytest
import stated_tables
from ase.neighborlist import neighbor_list

from grs_evo.cli.check import check
from grs_evo.cli.score import scores
from grs_evo.driver.config.changes import map_files
from grs_evo.driver.config.run_file import read
from grs_evo.driver.session import run
from grs_evo.search.population.domination import dominated
from grs_evo.storage.archive_file import Archive, read_archive
from grs_evo.structures.same_crystal import crystal_of, same_crystal
from grs_evo.structures.structure import Structure, to_atoms

RUNS = Path(__file__).parents[1] / "runs"
FILES = sorted(RUNS.glob("*/*.toml"))
# Not ours to ship; runs/fig5-ta-dataset/README.md says where it comes from.
TA = "ta_jcp2014.extxyz"
SHARED = RUNS.parent.parent / "shared" / "data" / TA


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def present(path: Path, tmp_path: Path) -> Path:
    """The run file, beside a target that lies elsewhere if need be."""
    if TA not in path.read_text() or (path.parent / TA).exists():
        return path
    if not SHARED.exists():
        pytest.skip(f"{TA} is not beside {name(path)}.toml: see its README")
    shutil.copy(SHARED, tmp_path / TA)
    shutil.copy(path, tmp_path)
    return tmp_path / path.name


def small(folder: str, tmp_path: Path) -> Archive:
    path = present(RUNS / folder / "small.toml", tmp_path)
    result = run(path, tmp_path / "out", quiet=True)
    assert result.finished
    return read_archive(tmp_path / "out")


def test_every_run_has_what_the_others_have() -> None:
    folders = sorted({path.parent for path in FILES})
    assert len(folders) >= 8
    for folder in folders:
        assert {"run.toml", "README.md"} <= {path.name for path in folder.iterdir()}, folder


@pytest.mark.parametrize("path", FILES, ids=name)
def test_run_files_are_right(path: Path) -> None:
    given = read(path)
    assert given.stop.seconds is None, "the clock would decide what comes out"

    def exists(key: str, file: str) -> str:
        assert (path.parent / file.partition("@")[0]).exists() or file == TA, f"{key}: {file}"
        return file

    map_files(given, exists)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem == "small"], ids=name)
def test_small_variants_differ_in_size_alone(path: Path) -> None:
    """What is compared, moved and kept is as in the large run, so that the small one tests it."""
    one, other = (tomllib.loads(file.read_text()) for file in (path, path.with_name("run.toml")))
    assert one.keys() == other.keys()
    for key in ("target", "loss", "migration", "archive"):
        kept = [
            {k: v for k, v in run[key].items() if k not in ("emigrants", "interval")}
            for run in (one, other)
            if key in run
        ]
        assert all(table == kept[0] for table in kept), key
    assert [island.get("strategy") for island in one.get("islands", [])] == [
        island.get("strategy") for island in other.get("islands", [])
    ]


@pytest.mark.long
@pytest.mark.parametrize("path", FILES, ids=name)
def test_run_files_can_be_run(path: Path, tmp_path: Path) -> None:
    """Basis, target, candidates and loss fit together: what `grs-evo check` finds out before a start."""
    found = check(present(path, tmp_path))
    assert found["target"]["environments"] > 0
    assert found["islands"] >= 1


@pytest.mark.long
def test_ordering_side_by_side(tmp_path: Path) -> None:
    found = small("fig3-ordering", tmp_path)
    history = found.history
    best = [history["best_value"][history["island"] == k][-1] for k in range(6)]
    solved = np.array(best) < 1e-9
    assert solved[[0, 1, 2, 3]].all(), best  # genetic, annealing, both descents
    assert not solved[4], "an unbiased walk needs millions"
    spent = [(history["evaluations"] + history["incremental"])[history["island"] == k][-1] for k in range(6)]
    assert max(spent) <= 1000


@pytest.mark.long
@pytest.mark.skipif(
    pinned_runs.known() is None, reason="bits of this machine are not those that the tables were made with"
)
@pytest.mark.parametrize("name", stated_tables.TABLES)
def test_tables_of_readmes_are_what_the_runs_give(name: str, tmp_path: Path) -> None:
    page = (RUNS / name / "README.md").read_text()
    for row in stated_tables.made(name, tmp_path / "out"):
        assert f"\n{row}\n" in page, "python tests/stated_tables.py writes the tables anew"


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "counts", "pair"),
    [
        ("sqs-cocrfemnni", dict.fromkeys(("Co", "Cr", "Fe", "Mn", "Ni"), 8), "Co-Cr"),
        ("sqs-tialn", {"N": 32, "Al": 16, "Ti": 16}, "Al-Ti"),
        ("sqs-cupd", {"Cu": 48, "Pd": 16}, "Cu-Pd"),
    ],
)
def test_alloys_have_composition_and_order(name: str, counts: dict[str, int], pair: str, tmp_path: Path) -> None:
    shutil.copytree(RUNS / name, tmp_path / name)
    file = tmp_path / name / "run.toml"
    file.write_text(file.read_text() + "\n[search]\nislands = 1\n\n[stop]\ngenerations = 8\n")
    run(file, tmp_path / "out", quiet=True)
    found = read_archive(tmp_path / "out")
    best = found.atoms(0)
    assert {symbol: best.symbols.count(symbol) for symbol in counts} == counts
    best.write(tmp_path / "best.extxyz")
    one = scores([str(tmp_path / "best.extxyz")], tmp_path / "out", 0)[0]
    assert one["over_random"] < 0.8
    first = one["by_term"]["clusters"][0]["orders"][pair]
    assert first == pytest.approx(-0.12 if name == "sqs-cupd" else 0.0, abs=0.05)


@pytest.mark.long
def test_one_run_gives_the_front_of_loss_against_size(tmp_path: Path) -> None:
    found = small("fig4-liquid-ta", tmp_path)
    front = found.objectives[~dominated(found.objectives)]
    sizes = front[:, 1]
    assert found.objective_names == ("value", "n_atoms")
    assert len(np.unique(sizes)) >= 3
    assert sizes.min() >= 8
    assert sizes.max() <= 16
    densities = np.array([one.structure.n_atoms / one.structure.volume for one in found.individuals])
    assert np.ptp(densities) < 0.021 * densities.mean()


@pytest.mark.long
def test_small_cells_for_the_tantalum_data_set(tmp_path: Path) -> None:
    found = small("fig5-ta-dataset", tmp_path)
    assert len(found.set) >= 20
    assert {one.structure.n_atoms for one in found.set} == {4}
    assert np.ptp([one.structure.volume for one in found.set]) > 4 * 10  # solids, slits and compressed cells


@pytest.mark.long
def test_reverse_search_gives_ordered_and_distorted_cells(tmp_path: Path) -> None:
    found = small("fig6-reverse-fecrsiv", tmp_path)
    assert len({one.content for one in found.set}) == len(found.set) == 6
    assert all(one.value < 0 for one in found.set)
    shortest = {k: np.array([_distances(one.structure).min() for one in found.set if one.island == k]) for k in (0, 1)}
    assert [len(column) for column in shortest.values()] == [3, 3]
    # island 0 keeps to the sites of bcc; island 1 does not, and keeps its atoms apart
    np.testing.assert_allclose(shortest[0], 2.88 * 3**0.5 / 2, atol=1e-6)
    assert (abs(shortest[1] - 2.88 * 3**0.5 / 2) > 1e-3).all()
    assert shortest[1].min() > 1.6


@pytest.mark.long
def test_cells_for_the_wire(tmp_path: Path) -> None:
    found = small("fig7-fe-wire", tmp_path)
    assert len(found.set) >= 4
    assert all(_distances(one.structure).min() > 1.9 for one in found.set)


@pytest.mark.long
def test_a_training_set_is_refilled(tmp_path: Path) -> None:
    found = small("augment", tmp_path)
    atoms = sum(one.structure.n_atoms for one in found.set)
    assert 24 - 4 < atoms <= 24
    # what the crystals lack: surfaces
    assert max(one.structure.volume / one.structure.n_atoms for one in found.set) > 1.5 * 3.61**3 / 4
    assert all(_distances(one.structure).min() > 1.9 for one in found.set)


@pytest.mark.long
def test_away_from_a_random_alloy(tmp_path: Path) -> None:
    found = small("si2-fecr", tmp_path)
    # two islands offer twelve twice; a crystal that is there already, in whatever cell, is not taken again
    assert 36 <= len(found.set) <= 48
    crystals = [crystal_of(one.structure) for one in found.set]
    assert not any(same_crystal(a, b) for k, a in enumerate(crystals) for b in crystals[:k] if a and b)
    moved = [_distances(one.structure) for one in found.set]
    ideal = 2.87 * 3**0.5 / 2
    # a few cells are distorted by thermal amounts, the others are occupations of bcc
    shift = np.array([abs(np.sort(d)[0] - ideal) for d in moved])
    assert 0 < (shift > 1e-6).sum() < len(shift) / 3
    assert shift.max() < 0.4


def _distances(structure: Structure) -> np.ndarray:
    """All distances up to 4 Å."""
    return np.asarray(neighbor_list("d", to_atoms(structure, ("Fe", "Cr", "Si", "V")), 4.0))
