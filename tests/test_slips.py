"""Slips of the first days: each is answered in one line that names the thing, and what is allowed; exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small
from ase.build import bulk
from ase.io import write

import grs_evo
from grs_evo.cli.commands import main
from grs_evo.driver.session import run
from grs_evo.errors import InputError

T = small.LATTICE

# What is put in place of what in a run file, and what `grs-evo check` says.
RUN_FILES = (
    ("seed = 7", "seed: 7", "not valid TOML: Expected '=' after a key"),
    ("seed = 7", "seed = -7", "seed: is -7; must be greater than or equal to 0"),
    ("seed = 7", 'seed = "seven"', 'seed: is "seven"; must be a whole number'),
    ("cutoff = 4.0", "cutoff = 4.0 Å", '(at line 8, column 14): "cutoff = 4.0 Å"'),
    ("cutoff = 4.0", 'cutoff = "4.0"', 'basis.cutoff: is "4.0"; must be a number [Å]'),
    ("cutoff = 4.0", "cut_off = 4.0", "basis.cut_off: unknown key (did you mean 'cutoff'?)"),
    ("cutoff = 4.0", "cutoff = 60.0", "basis.cutoff: 60 Å holds some 68,629 neighbours per atom"),
    ("cutoff = 4.0", "cutoff = 0", "it must be above 0 Å"),
    ("[basis]", "[bases]", "bases: unknown key (did you mean 'basis'?)"),
    ("[basis]", '[basis]\nelements = "AuCu"', 'basis.elements: is "AuCu"; must be a list of texts'),
    ("[basis]", '[basis]\nelements = ["Gold"]', "'Gold' is no chemical symbol (did you mean 'Au'?)"),
    ("[basis]", '[basis]\nelements = ["au", "cu"]', "'au' is no chemical symbol (did you mean 'Au'?)"),
    ("l_max = [0, 1]", "l_max = [0, 1, 2]", "n_max = [3, 1] has 2 entries and l_max = [0, 1, 2] has 3"),
    ("n_max = [3, 1]", "n_max = [0, 1]", "basis.n_max = [0, 1]: 0 must be an integer from 1 to 50"),
    ('files = ["target.xyz"]', 'files = "target.xyz"', 'target.files: is "target.xyz"; must be a list of texts'),
    ('files = ["target.xyz"]', "files = []", "target: needs one of files, stored, alloy"),
    ('[target]\nfiles = ["target.xyz"]', "", "[target]: is missing"),
    ("target.xyz", "nowhere.xyz", "target.files: nowhere.xyz: no such file"),
    ("target.xyz", "target.xyz@7", "target.xyz: has 1 structure, none at index 7"),
    ("target.xyz", "target.xyz@a", "'a' is no index"),
    ("target.xyz", "empty.xyz", "empty.xyz: is empty"),
    ("target.xyz", "words.xyz", "words.xyz: line 1: 'this is' is not the number of atoms"),
    ("target.xyz", "mixed.xyz", "'Qq' is no chemical symbol"),
    ("target.xyz", "short.xyz", "ends after line 5 with 3 of the 4 atoms announced"),
    ("target.xyz", "nan.xyz", "the position of atom 3"),
    ("target.xyz", "nocell.xyz", "has no cell"),
    ("target.xyz", "flat.xyz", "the cell is singular"),
    ("target.xyz", "nm.xyz", "basis.cutoff: 4 Å holds some 20,335 neighbours per atom of nm.xyz"),
    ("target.xyz", "notes.txt", "its format is not known"),
    ("population = 6", "population = 6.5", "search.population: is 6.5; must be a whole number"),
    ("population = 6", "population = -6", "search.population: is -6; must be greater than or equal to 1"),
    ("repeat = [2, 1, 1]", "repeat = 2", "candidates.repeat: is 2; must be a list of 3 whole numbers"),
    ("repeat = [2, 1, 1]", "repeat = [2, 1]", "candidates.repeat: is [2, 1]; must be a list of 3 whole numbers"),
    ("repeat = [2, 1, 1]", "repeat = [2, 1, 1, 1]", "is [2, 1, 1, 1]; must be a list of 3 whole numbers"),
    ("repeat = [2, 1, 1]", "repeat = [2, 0, 1]", "repeat is [2, 0, 1]; each number must be at least 1"),
    ('lattice = "fcc"', 'lattice = "FCC"', "'FCC' is not a parent lattice"),
    ('kind = "lattice"', 'kind = "latice"', "(did you mean 'lattice'?)"),
    ('composition = "free"', "endpoints = True", '"endpoints = True"'),
    ('composition = "free"', 'endpoints = "yes"', 'candidates.endpoints: is "yes"; must be true or false'),
    (
        'composition = "free"',
        "counts = {Au = 1, Cu = 2}",
        "counts add up to 3 atoms (nearest possible: Cu 5, Au 3), but",
    ),
    ('composition = "free"', "counts = {Au = 4, Ag = 4}", "element 'Ag' is not in the basis"),
    ('composition = "free"', "fractions = {Au = 25, Cu = 75}", "candidates.fractions: add up to 100; must be 1"),
    ('scale = "none"', 'scale = "white"', "(did you mean 'whitened'?)"),
    ("variance = 0.5", 'variance = "a lot"', 'loss.variance: is "a lot"; must be a number'),
    ("[search]", '[search]\nstrategy = "genetics"', "(did you mean 'genetic'?)"),
    ("[search]", "[search]\noperators = {crosover = 0.4}", "search.operators.crosover: unknown key"),
    ("[search]", "[relax]\nfmax = 0.01\n[search]", "relax.fmax: unknown key"),
    ("interval = 2", 'topology = "circle"', 'migration.topology: is "circle"; must be'),
    ("[stop]\ngenerations = 12", "[stop]\nseconds = '10m'", 'stop.seconds: is "10m"; must be a number [s]'),
    ("[stop]\ngenerations = 12", "[stop]\ngenerations = -1", "stop.generations: is -1"),
    ("[stop]", "[stop]\ngenerations = 3\n[stop]", "Cannot declare ('stop',) twice"),
)
COMMANDS = (
    ("run", "run: RUN_FILE is missing; see grs-evo run --help"),
    ("rnu case.toml", "'rnu' is no command (did you mean 'run'?)"),
    ("run nowhere.toml", "nowhere.toml: no such file"),
    ("run melt.extxyz", "`grs-evo init` writes a run file for structures"),
    ("run case.toml --out out", "out: holds a run already; go on with `grs-evo resume out`"),
    ("run case.toml --max-time soon", "--max-time soon: must be a time above 0 such as 90s, 50m"),
    ("run case.toml --seed 1.5", "run: --seed is '1.5'; it must be a whole number"),
    ("run case.toml --sed 3", "run: --sed is no option (did you mean '--seed'?)"),
    ("run case.toml more.toml", "run: got unexpected extra argument (more.toml)"),
    ("run case.toml --progress fancy", "--progress is 'fancy'; it must be one of auto, panel, line, lines"),
    ("resume nowhere", "nowhere: does not exist; it must be the folder of a run"),
    ("resume case.toml", "case.toml: is a file; it must be the folder of a run"),
    ("resume out --extend generations=500", "(did you mean 'stop.generations'?)"),
    ("resume out --extend stop.generations=many", 'is "many"; must be a whole number'),
    ("stop out", "this run is not going on"),
    ("export out", "export: --out is missing (File to write; - is standard output)"),
    ("export out -o", "option '-o' requires an argument"),
    ("export out -o best", "tells no format; known are .extxyz"),
    ("export out -o best.cif --top five", "export: --top is 'five'; it must be a whole number"),
    ("export out -o best.cif --top 0", "--top 0: must be at least 1"),
    ("export out -o best.cif --set", "out: has no representative set"),
    ("export out -o best.cif --uid 99/1", "holds no structure with the uid 99/1"),
    ("export out -o a.pwi --pseudo Cu", "--pseudo Cu: must be ELEMENT=FILE"),
    ("export out --for mace -o a.xyz", "has no energies and forces yet"),
    ("score melt.extxyz", "score: --target is missing (target.h5 or a run folder)"),
    ("score melt.extxyz --target case.toml", "it must be a grs_evo target file"),
    ("init metl melt.extxyz", "(did you mean 'melt'?)"),
    ("init melt melt.extxyz --atoms 0", "init: --atoms is 0; it must be a whole number from 1 to 10000"),
    ("init melt melt.extxyz --lattice fcc", "init melt: --lattice goes with sqs alone"),
    ("init molecules melt.extxyz", "does not consist of molecules"),
    ("init sqs --composition FeCr", "must be elements with fractions"),
    ("init sqs --composition Fe=1,Cr=1 --a 0.287", "--a 0.287: is 0.287 Å; bcc of Fe, Cr has some 2.88 Å"),
    ("init --launch slurm", "--launch slurm: needs a run file"),
    ("init --launch sge case.toml", "--launch is 'sge'; it must be one of slurm, pbs, lsf"),
    ("guide nowhere", "is no page; there are first-run"),
    ("guide options relaxx", "there are basis, target"),
    ("select melt.extxyz -o s.xyz --environments 10000", "the pool has 108 in all"),
    ("refit melt.extxyz melt.extxyz -o p.yace", "has no energy"),
    ("alloy case.toml --sites 0 -o a.xyz", "--sites is 0; it must be a whole number from 1 to 2000000"),
    ("basis --elements Cu --n-max a", "it must be integers, one per rank"),
    ("plot paretto out", "(did you mean 'pareto'?)"),
    ("plot pareto nowhere", "plot pareto: nowhere"),
    ("warm-up latice", "(did you mean 'lattice'?)"),
)
CU = bulk("Cu", cubic=True)
BASIS = grs_evo.build_basis(["Cu"], (3, 1), (0, 1), 4.0)
CALLS: tuple[tuple[Callable[[], object], str], ...] = (
    (lambda: grs_evo.run({"tagret": {"files": ["target.xyz"]}}, "o"), "did you mean 'target'"),
    (lambda: grs_evo.run("case.toml", "out"), "holds a run already"),
    (lambda: grs_evo.read_archive("nowhere"), "No such file"),
    (lambda: grs_evo.read_archive("target.xyz"), "is no readable HDF5 file"),
    (lambda: grs_evo.build_basis("Cu", (3,), (0,), 4.0), "must be a list of chemical symbols"),
    (lambda: grs_evo.build_basis(["Cu"], (3,), (0, 1), 4.0), "both need one per rank"),
    (lambda: grs_evo.describe(CU, "basis"), "basis is a str; it must be a Basis"),
    (lambda: grs_evo.read_archive(5), "path is an int"),
    (lambda: grs_evo.export(CU, "a.cif"), "source is an Atoms; it must be"),
    (lambda: grs_evo.label(CU, CU), "results are an Atoms; they must be names of files"),
    (lambda: grs_evo.run("case.toml", "o", on_generation=3), "on_generation is an int; it must be a function"),
    (lambda: grs_evo.describe(bulk("Fe"), BASIS), "Fe"),
    (lambda: grs_evo.Target.from_structures([], BASIS), "no structure"),
    (lambda: grs_evo.make_objective(None, BASIS), "make_objective"),
    (lambda: grs_evo.LossOptions(varaince=0.5), "did you mean 'variance'"),
    (lambda: grs_evo.RelaxOptions(cell="box"), "cell"),
    (lambda: grs_evo.relax(CU, None), "relax"),
    (lambda: grs_evo.GRSCalculator(None), "GRSCalculator"),
    (lambda: grs_evo.export("out", "a.foo"), "tells no format"),
    (lambda: grs_evo.select([CU], count=3), "count"),
    (lambda: grs_evo.write_yace(None, "a.yace"), "write_yace"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Structure files of all sorts, and a run that has ended."""
    made = tmp_path_factory.mktemp("slips")
    run(small.write(made, T.replace("generations = 12", "generations = 1")), made / "out", quiet=True)
    melt = bulk("Cu", cubic=True) * 3
    melt.rattle(0.3, rng=np.random.default_rng(1))
    write(made / "melt.extxyz", melt)
    content = {
        "empty.xyz": "",
        "words.xyz": "this is\nno structure\n",
        "mixed.xyz": small.TARGET.replace("Au", "Qq"),
        "short.xyz": "\n".join(small.TARGET.splitlines()[:-1]) + "\n",
        "nan.xyz": small.TARGET.replace("1.875 1.875 0.0", "1.875 nan 0.0"),
        "nocell.xyz": "2\n\nAu 0 0 0\nCu 0 0 2.5\n",
        "flat.xyz": small.TARGET.replace("0 0 3.75", "0 3.75 0"),
        "nm.xyz": small.TARGET.replace("3.75", "0.375").replace("1.875", "0.1875"),
        "notes.txt": "hello\n",
    }
    for name, text in content.items():
        (made / name).write_text(text)
    return made


def _told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr().err
    assert ended.value.code == 2, told
    assert told.count("\n") == 1, told
    assert told.startswith("grs-evo: ")
    return told


@pytest.mark.parametrize(("old", "new", "said"), RUN_FILES)
def test_a_slip_in_a_run_file(
    old: str, new: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert old in T
    Path("slip.toml").write_text(T.replace(old, new, 1))
    told = _told(["check", "slip.toml"], capsys)
    assert told.startswith("grs-evo: slip.toml: ")
    assert said in told


@pytest.mark.parametrize(("line", "said"), COMMANDS)
def test_a_slip_on_the_command_line(
    line: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert said in _told(line.split(), capsys)


@pytest.mark.parametrize("k", range(len(CALLS)), ids=[said for _, said in CALLS])
def test_a_slip_in_python(k: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    call, said = CALLS[k]
    with pytest.raises(InputError) as error:
        call()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
