"""`grs-evo init`: run files that run as they are, of structures of every kind; scripts for batch systems."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.io import read, write

from grs_evo.cli.check import check
from grs_evo.cli.commands import main
from grs_evo.driver.config.run_file import read as read_run_file
from grs_evo.driver.session import run
from grs_evo.starting import examples
from grs_evo.starting.kinds import KINDS, draft
from grs_evo.starting.launch import SCHEDULERS, Job, write_script
from grs_evo.starting.look import cutoff_for, look
from grs_evo.structures.structure import from_atoms


def melted(symbols: list[str], n: int = 4, seed: int = 0) -> Atoms:
    """A crystal shaken until no two sites are alike."""
    atoms = bulk("Ar", "fcc", a=4.2, cubic=True) * (n, n, n)
    rng = np.random.default_rng(seed)
    atoms.symbols = rng.permutation(np.resize(symbols, len(atoms)))
    atoms.rattle(0.35, rng=rng)
    return atoms


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("order.extxyz", _l12())
    write("melt.extxyz", [melted(["Na", "Cl"], 3), melted(["Na", "Cl"], 3, 1)])
    write("alloy.extxyz", _alloy())
    write("liquid.extxyz", _liquid())
    slab = fcc111("Cu", (4, 4, 3), a=3.6, vacuum=8.0)
    slab.symbols = np.random.default_rng(0).permutation(np.resize(["Cu", "Au"], len(slab)))
    slab.pbc = (True, True, False)
    slab.info.clear()
    write("slab.extxyz", slab)
    rough = fcc111("Cu", (6, 6, 3), a=3.6, vacuum=8.0)
    rough.info.clear()
    rough.rattle(0.3, rng=np.random.default_rng(1))
    write("rough.extxyz", rough)
    write("crystals.extxyz", [bulk("Ta", cubic=True, a=3.3 + 0.02 * k) for k in range(6)])
    write("set.extxyz", [melted(["Ta"], 2, k) for k in range(6)])
    return tmp_path


def _liquid() -> Atoms:
    """Methane and carbon dioxide."""
    liquid = Atoms(cell=[12.6] * 3, pbc=True)
    for k, place in enumerate(np.ndindex(3, 3, 3)):
        one = molecule(("CH4", "CO2")[k % 2])
        one.rotate(40 * k, (1, 2, 3))
        one.translate(4.2 * np.array(place))
        liquid += one
    return liquid


def _l12() -> Atoms:
    atoms = bulk("Cu", "fcc", a=3.75, cubic=True)
    atoms.symbols[0] = "Au"
    return atoms


def _alloy() -> Atoms:
    atoms = bulk("Fe", "bcc", a=2.87, cubic=True) * 4
    atoms.symbols = np.random.default_rng(0).permutation(np.resize(["Fe", "Cr"], len(atoms)))
    return atoms


CASES = {
    "order": ("order", "order.extxyz"),
    "sqs": ("sqs", "--composition", "Fe=1,Cr=1"),
    "sqs of a file": ("sqs", "alloy.extxyz", "--lattice", "bcc"),
    "melt": ("melt", "melt.extxyz@0"),
    "glass": ("glass", "melt.extxyz", "--atoms", "20"),
    "slab": ("slab", "slab.extxyz"),
    "molecules": ("molecules", "liquid.extxyz", "--atoms", "12"),
    "rough slab": ("slab", "rough.extxyz"),
    "set": ("set", "set.extxyz"),
    "set of crystals": ("set", "crystals.extxyz"),
    "reverse": ("reverse", "alloy.extxyz"),
    "reverse of a melt": ("reverse", "melt.extxyz@0"),
    "augment": ("augment", "set.extxyz", "--given", "set.extxyz@0"),
}


@pytest.mark.parametrize("arguments", CASES.values(), ids=CASES.keys())
def test_what_is_written_passes_the_check(
    arguments: tuple[str, ...], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(["init", *arguments, "-o", "runs/mine.toml"])
    assert done.value.code == 0
    told = capsys.readouterr().out
    assert "grs-evo run runs/mine.toml" in told
    text = Path("runs/mine.toml").read_text()
    assert len(text.splitlines()) < 70
    found = check("runs/mine.toml")
    assert found["target"]["environments"] > 0
    # what is written is no option without effect
    assert not [note for note in found["notes"] if "has no effect" in note], found["notes"]


def test_a_set_begins_with_the_small_structures_of_its_target(here: Path) -> None:
    made = draft("set", ["crystals.extxyz@1:"], here)
    (name,) = made.files
    assert name == "crystals-starts.extxyz"
    Path(name).write_text(made.files[name])
    assert [len(one) for one in read(name, ":")] == [2] * 5
    assert "candidates" not in tomllib.loads(made.text)["islands"][0]
    assert not draft("set", ["set.extxyz"], here).files  # those are as large as what is wanted


def test_every_kind_is_tried() -> None:
    assert {arguments[0] for arguments in CASES.values()} | {"select"} == set(KINDS)


def test_the_order_is_found(here: Path) -> None:
    made = draft("order", ["order.extxyz"], here, atoms=16)
    (here / "run.toml").write_text(made.text)
    result = run("run.toml", quiet=True)
    assert result.reason == "loss"
    assert result.archive[0].value < 1e-9


def test_select_writes_a_command(here: Path) -> None:
    made = draft("select", ["set.extxyz"], here)
    assert made.suffix == ".sh"
    assert "grs-evo select set.extxyz --environments 19 -o train.extxyz" in made.text


def test_cutoffs_lie_between_shells() -> None:
    copper = bulk("Cu", "fcc", a=3.6, cubic=True) * 3
    cutoff = cutoff_for(4 / 3.6**3, from_atoms(copper, ("Cu",)))
    shells = 3.6 * np.sqrt(np.arange(1, 20) / 2)
    assert abs(shells - cutoff).min() > 0.15
    inside = sum((np.linalg.norm(p) < cutoff) for p in (bulk("Cu", "fcc", a=3.6, cubic=True) * 9).positions - 4 * 3.6)
    assert 42 <= inside - 1 <= 80


def test_pieces_of_a_slab_keep_their_atoms_apart_and_their_vacuum(here: Path) -> None:
    made = draft("slab", ["rough.extxyz"], here, atoms=40)
    Path("starts.extxyz").write_text(made.files["rough-starts.extxyz"])
    pieces = read("starts.extxyz", ":")
    whole = read("rough.extxyz")
    for piece in pieces:
        assert len(piece) == pytest.approx(108 / 4, abs=5)  # what repeats fits across the new borders
        assert np.allclose(piece.cell.lengths() * (2, 2, 1), whole.cell.lengths())
        within = np.linalg.norm(piece.positions[:, None] - piece.positions, axis=2)
        distances = piece.get_all_distances(mic=True)
        assert distances[distances < within - 1e-6].min() > 0.8 * 2 * 1.32 - 1e-6


def test_an_alloy_with_vacancies_has_the_lattice_of_its_atoms(here: Path) -> None:
    for name in ("Va", "X"):
        text = draft("sqs", [], here, composition={"Ni": 0.75, name: 0.25}).text
        assert tomllib.loads(text)["target"]["alloy"] == {
            "lattice": "fcc",
            "a": 3.52,
            "composition": {"Ni": 0.75, name: 0.25},
        }


@pytest.mark.parametrize("kind", ["melt", "molecules", "set", "reverse"])
def test_cells_of_molecules_hold_whole_ones(kind: str, here: Path) -> None:
    given, _ = tomllib.loads(draft(kind, ["liquid.extxyz"], here, atoms=12).text)["candidates"]["sizes"]
    assert given in (11, 13)  # CH4 with two CO2, or two CH4 with one


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["init", "molten"], "did you mean 'melt'?"),
        (["init", "melt"], "init --example liquid-ta"),
        (["init", "sqs", "--composition", "Fe"], "such as Fe=0.5,Cr=0.5"),
        (["init", "sqs", "--composition", "Fe=1"], "two elements"),
        (["init", "sqs", "--composition", "Ni=0.5,Q=0.5"], "--composition: elements: 'Q' is no chemical symbol"),
        (["init", "sqs", "--composition", "Ni=0.5,Va=0.2,X=0.3"], "X is given twice"),
        (["init", "melt", "slab.extxyz"], "grs-evo init slab"),
        (["init", "slab", "alloy.extxyz"], "has no vacuum"),
        (["init", "molecules", "melt.extxyz"], "does not consist of molecules"),
        (["init", "melt", "melt.extxyz", "--a", "4"], "--a goes with sqs alone"),
        (["init", "order", "melt.extxyz"], "a melt or a glass?"),
        (["init", "augment", "set.extxyz"], "--given"),
        (["init", "augment", "set.extxyz", "--given", "none.extxyz@-1"], "--given none.extxyz@-1: no such file"),
        (["init", "melt", "melt.extxyz", "-o", "order.extxyz"], "exists already"),
        (["init", "--example", "cu3au"], "cu3au-l12"),
        (["init", "--launch", "slurm", "no.toml"], "no such file"),
    ],
)
def test_slips_are_answered(arguments: list[str], said: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert said in told


def test_without_a_kind_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["init"])
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in (*KINDS, *examples.examples()))
    assert max(map(len, told.splitlines())) <= 80


@pytest.mark.parametrize(("name", "said"), [("select-si", "README.md has its commands"), ("liquid-ta", "mpiexec -n 2")])
def test_an_example_says_how_to_go_on(name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["init", "--example", name, "-o", str(tmp_path / name)])
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("name", examples.examples())
def test_examples_bring_their_targets(name: str, tmp_path: Path) -> None:
    files = examples.copy_example(name, tmp_path / name)
    for path in [one for one in files if one.suffix == ".toml"]:
        for file in read_run_file(path).target.files:
            assert (path.parent / file.partition("@")[0]).exists() or name == "fig5-ta-dataset"
    assert not [path for path in files if path.suffix == ".png"]


@pytest.mark.parametrize("system", SCHEDULERS)
def test_launch_scripts_run_and_queue_anew_from_any_folder(system: str, tmp_path: Path) -> None:
    """With stand-ins for the programs of a batch system: the first session is cut short, the second one goes on."""
    place, tools, elsewhere = tmp_path / "work", tmp_path / "bin", tmp_path / "else"
    for folder in (place, tools, elsewhere):
        folder.mkdir()
    (place / "mine.toml").write_text("")
    log = tmp_path / "log"
    for name in ("srun", "mpiexec", "scontrol", "qsub", "bsub"):
        (tools / name).write_text(
            f'#!/bin/sh\necho "{name} $@" >> {log}\n[ {name} = srun ] || [ {name} = mpiexec ] && exit 75\nexit 0\n'
        )
        (tools / name).chmod(0o755)
    write_script(system, Job(place / "mine.toml", ranks=3))
    spooled = elsewhere / "job"  # batch systems run a copy
    spooled.write_text((place / f"mine.{system}").read_text())
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SLURM_JOB_ID": "7"}
    assert subprocess.run(["bash", "-n", spooled]).returncode == 0
    assert subprocess.run(["bash", spooled], cwd=elsewhere, env=environment).returncode == 0
    first, second = log.read_text().splitlines()
    assert f"run {place}/mine.toml --out {place}/mine-out" in first
    assert second.split()[0] == {"slurm": "scontrol", "pbs": "qsub", "lsf": "bsub"}[system]
    (place / "mine-out").mkdir()
    (place / "mine-out" / "run.toml").write_text("")
    subprocess.run(["bash", spooled], cwd=elsewhere, env=environment, check=True)
    assert f"resume {place}/mine-out" in log.read_text()


def test_what_is_looked_at_is_told(here: Path) -> None:
    assert look(["order.extxyz"]).told == "Cu3Au, 4 atoms"
    assert look(["melt.extxyz"]).told.startswith("2 structures with 216 atoms")
