"""Parts from outside the package: each in at most fifteen lines, checked at set-up, and recorded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import small
from ase.build import bulk
from ase.io import write

import grs_evo
from grs_evo.cli.check import check
from grs_evo.cli.commands import main
from grs_evo.driver.config.run_file import parse
from grs_evo.driver.session import resume, run
from grs_evo.errors import InputError
from grs_evo.observables import catalogue
from grs_evo.search.operators import table
from grs_evo.structures.structure import Structure, is_sound

PARTS = {
    "operator": '''\
from grs_evo.search.operators.record import Operator

def exchange_ends(rng, parents, limits, steps):
    """The first and the last atom change places."""
    (one,) = parents
    species = one.species.copy()
    species[[0, -1]] = species[[-1, 0]]
    return one.replace(species=species)

ENDS = Operator("exchange_ends", exchange_ends, "chemical", weight=2.0)
''',
    "observable": """\
from grs_evo.observables import Observable

def measure(found):
    return {"atoms per structure": found.n_atoms / found.n_structures}

SIZE = Observable("mean_size", "atoms per structure", "", measure, lambda found, target: [])
""",
    "source": '''\
import numpy as np
from grs_evo.search.candidates.source import CandidateGenerator
from grs_evo.structures.structure import Structure

def chain(rng, source):
    """Atoms along a diagonal, evenly apart."""
    n = source.sizes[0]
    cell = np.eye(3) * (n * source.volume_per_atom) ** (1 / 3)
    places = (np.arange(n)[:, None] + 0.1 * rng.random((n, 3))) / n @ cell
    return Structure(places, cell, rng.integers(len(source.elements), size=n), [True] * 3)

CHAIN = CandidateGenerator("chain", chain)
''',
    "strategy": '''\
from grs_evo.search.fresh_candidates import fresh
from grs_evo.search.population.individual import order_key
from grs_evo.search.problem import Step
from grs_evo.search.strategies.record import SearchStrategy

def renew(state, problem, rng, ledger):
    """New candidates every generation, of which the best stay."""
    size = problem.islands[state.island].population
    new = fresh(size, state.island, problem, rng, ledger, required=not state.population)
    kept = sorted([*state.population, *new], key=order_key)[:size]
    return Step(kept, new, state.seen, {}, state.rates)

RENEW = SearchStrategy("renew", renew)
''',
    "callback": """\
from grs_evo.driver.config.callback import Callback

seen = []
TELL = Callback("tell", lambda now: seen.append((now.generation, now.best_value)))
FAIL = Callback("fail", lambda now: 1 / 0)
""",
    "exporter": """\
from grs_evo.exporters.table import Exporter

def formulas(atoms, context):
    return "".join(f"{one.get_chemical_formula()}\\n" for one in atoms).encode()

FORMULAS = Exporter("formulas", (), together=formulas)
""",
}
PLUGGED = '\n[plugins]\noperators = ["my_operator:ENDS"]\nobservables = ["my_observable:SIZE"]\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PARTS.items():
        assert len([line for line in text.splitlines() if line.strip()]) <= 15
        (tmp_path / f"my_{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"my_{name}", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(catalogue, "_plugged", {})
    monkeypatch.setattr(table, "_plugged", {})
    monkeypatch.setattr(table, "_table", table._table)
    monkeypatch.setattr(table, "_columns", table._columns)
    return tmp_path


def test_an_operator_and_an_observable_of_the_run_file(here: Path) -> None:
    path = small.write(here)
    path.write_text(path.read_text() + PLUGGED)
    result = run(path, here / "out", quiet=True)
    found = grs_evo.read_archive(here / "out")
    tried = [name for name in found.history if "exchange_ends" in name]
    assert tried
    assert any(np.sum(found.history[name]) > 0 for name in tried)
    assert "mean_size" in {one["name"] for one in catalogue.listing()}
    versions = json.loads((here / "out" / "versions.json").read_text())
    assert versions["operators my_operator:ENDS"].startswith("my_operator:ENDS ")
    again = run(path, here / "out2", quiet=True)
    assert again.archive_hash == result.archive_hash


def test_a_strategy_makes_the_generations_and_goes_on_where_it_was_stopped(here: Path) -> None:
    text = small.LATTICE.replace("[search]", '[search]\nstrategy = "my_strategy:RENEW"')
    path = small.write(here, text)
    whole = run(path, here / "whole", quiet=True)
    archive = grs_evo.read_archive(here / "whole")
    last = archive.history["evaluations"][archive.history["generation"] == archive.history["generation"].max()]
    assert {one.operator for one in archive.individuals} == {"random"}  # no child was bred
    assert (last > 0).all()
    versions = json.loads((here / "whole" / "versions.json").read_text())
    assert versions["strategies my_strategy:RENEW"].startswith("my_strategy:RENEW ")
    run(path, here / "half", quiet=True, on_generation=lambda now: now.generation == 1)
    assert resume(here / "half", quiet=True).archive_hash == whole.archive_hash


def test_callbacks_are_told_and_change_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small.write(here)
    without = run(path, here / "without", quiet=True)
    path.write_text(path.read_text() + '\n[plugins]\ncallbacks = ["my_callback:TELL", "my_callback:FAIL"]\n')
    told = run(path, here / "told")
    assert told.archive_hash == without.archive_hash
    seen = sys.modules["my_callback"].seen
    assert [generation for generation, _ in seen] == list(range(told.generation + 1))
    assert seen[-1][1] == told.archive[0].value
    said = capsys.readouterr().err
    assert said.count("callback fail failed and is called no more (ZeroDivisionError: division by zero)") == 1


def test_a_resume_with_another_source_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small.write(here)
    path.write_text(path.read_text() + PLUGGED)
    run(path, here / "out", quiet=True)
    (here / "my_operator.py").write_text(PARTS["operator"].replace("[[0, -1]]", "[[0, -2]]"))
    monkeypatch.delitem(sys.modules, "my_operator")
    monkeypatch.setattr(table, "_plugged", {})
    monkeypatch.setattr(table, "_table", table._BUILT_IN)
    monkeypatch.setattr(table, "_columns", {one.name: k for k, one in enumerate(table._BUILT_IN)})
    with pytest.raises(InputError, match="source of operators my_operator:ENDS is not that of the checkpoint"):
        resume(here / "out", quiet=True)


SOURCE = """
seed = 3
[target]
files = ["melt.extxyz"]
[basis]
n_max = [3]
l_max = [0]
cutoff = 4.0
[loss]
terms = {}
core.kind = "none"
[candidates]
kind = "random"
sizes = [2, 2]
composition = "free"
min_distance = 0.5
generator = "my_source:CHAIN"
[search]
islands = 1
population = 4
genetic.relaxed = 0.0
[stop]
generations = 0
"""


def test_candidates_from_a_source_of_ones_own(here: Path) -> None:
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True) * 2
    atoms.rattle(0.3, rng=np.random.default_rng(0))
    write("melt.extxyz", atoms)
    Path("case.toml").write_text(SOURCE)
    result = run("case.toml", "out", quiet=True)
    for one in result.archive:
        distance = np.linalg.norm(np.diff(one.structure.positions, axis=0))
        edge = one.structure.cell[0, 0]
        assert 0.7 * 3**0.5 * edge / 2 < distance < 1.3 * 3**0.5 * edge / 2
    versions = json.loads((here / "out" / "versions.json").read_text())
    assert versions["candidates my_source:CHAIN"]


def test_a_format_of_ones_own(here: Path) -> None:
    grs_evo.run(small.write(here), here / "out", quiet=True)
    (written,) = grs_evo.export(here / "out", here / "list.txt", format="my_exporter:FORMULAS", top=2)
    assert len(written.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('operators = ["nowhere:X"]', "plugins.operators: 'nowhere:X' cannot be imported"),
        ('operators = ["my_operator:exchange_ends"]', "is a function; it must be an Operator"),
        ('operators = ["my_observable:SIZE"]', "is a Observable; it must be an Operator"),
        ('operators = ["twist"]', "'twist' is no installed part"),
        ('operators = "my_operator:ENDS"', "must be a list"),
        ('callbacks = ["my_operator:ENDS"]', "is a Operator; it must be a Callback"),
        ('operator = ["my_operator:ENDS"]', "did you mean 'operators'?"),
    ],
)
def test_slips_are_answered_at_set_up(given: str, said: str, here: Path) -> None:
    with pytest.raises(InputError) as error:
        parse(f'[target]\nfiles = ["a.xyz"]\n[plugins]\n{given}\n', "case.toml")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_strategies_that_are_none_are_answered_at_set_up(here: Path) -> None:
    with pytest.raises(InputError, match=r"search\.strategy.* or 'module:variable'.*did you mean 'gradient'"):
        parse('[target]\nfiles = ["a.xyz"]\n[search]\nstrategy = "gradeint"\n', "case.toml")
    path = small.write(here, small.LATTICE.replace("[search]", '[search]\nstrategy = "my_operator:ENDS"'))
    said = r"search\.strategy: 'my_operator:ENDS' is an? Operator; it must be a SearchStrategy"
    with pytest.raises(InputError, match=said):
        run(path, here / "out", quiet=True)
    with pytest.raises(InputError, match=said):
        check(path)


# Parts that slip: the module, `{}` in place of what its function does, and the tables that name it.
SLIPPING = {
    "operators": (
        "from grs_evo.search.operators.record import Operator\ndef act(rng, parents, limits, steps):\n    {}\n"
        "PART = Operator('slips', act, 'chemical', weight=9.0)\n",
        '[plugins]\noperators = ["MODULE:PART"]\n[search]',
    ),
    "observables": (
        "from grs_evo.observables import Observable\ndef measure(found):\n    {}\n"
        "PART = Observable('slips', 'nothing', '', measure, lambda found, target: [])\n",
        '[plugins]\nobservables = ["MODULE:PART"]\n[search]',
    ),
    "terms": (
        "from grs_evo.loss.terms.term import AddedTerm\ndef value(*arguments):\n    {}\n"
        "PART = AddedTerm('slips', 'nothing', '', 'nothing', 'rows', value, lambda *_: None)\n",
        '[loss.terms]\n"MODULE:PART" = 1.0\n[search]',
    ),
    "strategies": (
        "from grs_evo.search.strategies.record import SearchStrategy\ndef act(state, problem, rng, ledger):\n    {}\n"
        "PART = SearchStrategy('slips', act)\n",
        '[search]\nstrategy = "MODULE:PART"',
    ),
    "candidates": (
        "from grs_evo.search.candidates.source import CandidateGenerator\ndef draw(rng, source):\n    {}\n"
        "PART = CandidateGenerator('slips', draw)\n",
        "",
    ),
}


@pytest.mark.parametrize("kind", SLIPPING)
@pytest.mark.parametrize(("does", "said"), [("1 / 0", "raised ZeroDivisionError: "), ("return 'x'", "returned a str")])
def test_a_part_that_slips_is_named_in_one_line(
    kind: str, does: str, said: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, tables = SLIPPING[kind]
    name = f"{kind}_{len(said)}"  # its own, since modules are imported once
    (here / f"{name}.py").write_text(content.format(does))
    text = small.LATTICE
    if kind == "candidates":
        text = small.RELAXED.replace('kind = "random"', 'kind = "random"\ngenerator = "MODULE:PART"')
    else:
        text = text.replace("[search]", tables)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(small.write(here, text.replace("MODULE", name))), "--quiet"])
    told = capsys.readouterr().err
    assert ended.value.code == 2, told
    line = ", line 3" if does.startswith("1") else ""
    assert f"{name}:PART ({here / name}.py{line}): " in told
    assert said in told
    assert "it must return a" in told
    assert len(told.splitlines()) == 1


def test_a_format_that_slips_is_named(here: Path) -> None:
    (here / "slipping.py").write_text(
        "from grs_evo.exporters.table import Exporter\nPART = Exporter('x', (), each=lambda one, known: 'text')\n"
    )
    grs_evo.run(small.write(here), here / "out", quiet=True)
    said = r"slipping:PART \(.*slipping\.py\): each returned a str; it must return bytes"
    with pytest.raises(InputError, match=said):
        grs_evo.export(here / "out", here / "list.txt", format="slipping:PART", top=1)


def test_structures_from_outside_are_looked_at(here: Path) -> None:
    whole = Structure(np.zeros((1, 3)), np.eye(3), np.zeros(1), np.ones(3))
    assert is_sound(whole, 1)
    for changes in ({"species": np.ones(1)}, {"positions": np.full((1, 3), np.nan)}, {"cell": np.eye(2)}):
        assert not is_sound(whole.replace(**changes), 1)
