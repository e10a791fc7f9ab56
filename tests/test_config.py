"""Run files: what is wrong with them is said in one line; what is right comes back from its own writing."""

from __future__ import annotations

from pathlib import Path

import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st

from grs_evo.driver.config import changes
from grs_evo.driver.config import run_file as config
from grs_evo.driver.config import toml as toml_text
from grs_evo.errors import InputError, nearest
from grs_evo.options import seconds_of

MINIMAL = 'seed = 1\n[target]\nfiles = ["a.xyz"]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed = 1\n" + MINIMAL[9:], ("sed", "did you mean 'seed'")),
        (MINIMAL + "[search]\npopluation = 3", ("search.popluation", "did you mean 'population'", "strategy")),
        (MINIMAL + "[loss.core]\nkin = 'zbl'", ("loss.core.kin", "did you mean 'kind'")),
        (MINIMAL + "[[islands]]\ncuont = 2", ("islands[0].cuont", "did you mean 'count'")),
        (MINIMAL + "[search]\npopulation = -3", ("search.population", "-3", "greater than or equal to 1")),
        (MINIMAL + "[search]\npopulation = 2.5", ("search.population", "2.5", "whole number")),
        (MINIMAL + "[search]\npopulation = '9'", ("search.population", '"9"', "whole number")),
        (MINIMAL + "[search]\npopulation = true", ("search.population", "true", "whole number")),
        (MINIMAL + "[loss]\nnorm = 'l3'", ("loss.norm", '"l3"', "'l1', 'l2' or 'huber'")),
        (MINIMAL + "[stop]\nloss = nan", ("stop.loss", "finite")),
        (MINIMAL + "[stop]\ngenerations = 2020-01-01", ("stop.generations: is 2020-01-01, a date",)),
        (MINIMAL + "[basis]\ncutoff = 'far'", ("basis.cutoff", '"far"', "[Å]")),
        (MINIMAL + "[migration]\ntopology = 'star'", ("migration.topology", "'ring'", "'torus'")),
        (MINIMAL + "[migration]\ntopology = 'rign'", ("migration.topology", "did you mean 'ring'")),
        (MINIMAL + "[basis]\nl_max = 'abc'", ("basis.l_max", "must be a list")),
        ("target = 'x'", ("target", "must be a table")),
        (f"seed = {'9' * 5000}\n" + MINIMAL, ("not valid TOML", "digits")),
        (MINIMAL + "[loss]\nmean = 0.0\nvariance = 0.0", ("loss", "all weights are 0", "mean, variance")),
        (MINIMAL + "[loss]\nw_structure = 0.0", ("loss", "all weights are 0")),
        (MINIMAL + "[candidates]\nrepeat = [100, 100, 100]", ("candidates", "1e+06 parent cells", "100000")),
        (MINIMAL + "[checkpoint]\nkeep = 0", ("checkpoint.keep", "0", "2")),
        (MINIMAL + "[search]\nislands = 2\n[[islands]]\ncount = 2", ("search.islands", "[[islands]]", "give one")),
        (MINIMAL + "[candidates]\ndensity = [2.0, 1.0]", ("candidates", "density", "smallest <= largest")),
        (MINIMAL + "islands = 3", ("unknown key", "target.islands")),
        ("islands = 3\n" + MINIMAL, ("[[islands]]",)),
        ("seed = 1", ("[target]", "missing", "files, stored or alloy")),
        ("[target]", ("target", "files, stored, alloy")),
        (MINIMAL + "stored = 'a.h5'", ("target", "one of files, stored, alloy")),
        ("seed = -1\n" + MINIMAL[9:], ("seed", "-1", "0")),
        ("[target\n", ("not valid TOML", "line 1")),
        (MINIMAL + "seed = 1\nseed = 2", ("not valid TOML",)),
        (MINIMAL + "[set]\nbootstrap = 'both'", ("set.bootstrap", "'merge'")),
    ],
)
def test_complaints_name_key_value_and_what_is_allowed(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        config.parse(text, "some/run.toml")
    message = str(error.value)
    assert message.startswith("some/run.toml: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"seed = 1 # \xe9\n")
    for name, word in (("none.toml", "no such file"), ("latin.toml", "UTF-8"), (".", "is a folder")):
        with pytest.raises(InputError, match=word):
            config.read(tmp_path / name)


@pytest.mark.parametrize("text", [MINIMAL, small.LATTICE, small.RELAXED])
def test_the_effective_file_is_the_same_run(text: str) -> None:
    run = config.parse(text, "run.toml")
    written = toml_text.to_toml(run)
    assert config.parse(written, "effective") == run
    assert toml_text.to_toml(config.parse(written, "effective")) == written
    for name in ("population", "topology", "n_max", "max_cost"):
        assert f"\n{name} = " in written


@settings(max_examples=40, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0, 1), max_size=3),
    st.booleans(),
)
def test_any_value_survives_writing(number: float, text: str, table: dict[str, float], flag: bool) -> None:
    import tomllib

    for value in (number, text, table, flag, [number, 1], [[text]]):
        assert tomllib.loads(f"key = {toml_text.toml_value(value)}")["key"] == value


def test_islands_inherit_from_search() -> None:
    run = config.parse(
        MINIMAL
        + "[search]\npopulation = 9\n[search.operators]\ncrossover = 0.3\nsome = 0.5\n"
        + "[[islands]]\ncount = 2\n[[islands]]\npopulation = 4\n[islands.operators]\ncrossover = 0.7\n",
        "run.toml",
    )
    islands = run.each_island()
    assert [one.population for one in islands] == [9, 9, 4]
    assert [one.operators.crossover for one in islands] == [0.3, 0.3, 0.7]
    assert all(one.operators.some == 0.5 for one in islands)
    assert config.parse(toml_text.to_toml(run), "effective").each_island() == islands


def test_differences_name_the_keys() -> None:
    old = config.parse(MINIMAL, "a")
    new = config.parse(MINIMAL + "[search]\npopulation = 7\n[relax]\n", "b")
    lines = changes.differences(old, new)
    assert "search.population: 50 before, 7 now" in lines
    assert any(line.startswith("relax.method") for line in lines)
    assert changes.differences(old, old) == []


def test_files_are_gathered_with_their_indices(tmp_path: Path) -> None:
    run = config.parse('[target]\nfiles = ["data/melt.xyz@0:10:2", "b.xyz"]\n[candidates]\nfile = "../c.cif"\n', "r")
    moved, copies = changes.gather_files(run, tmp_path)
    assert moved.target.files == ("inputs/target_0_melt.xyz@0:10:2", "inputs/target_1_b.xyz")
    assert moved.candidates.file == "inputs/candidates_c.cif"
    assert copies["inputs/target_0_melt.xyz"] == tmp_path / "data" / "melt.xyz"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("50m", 3000), ("1.5h", 5400), ("2d", 172800), (" 3 m ", 180)]
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-3", "5 parsecs", "1e3", "m", "9" * 400, -3.0, float("nan"), float("inf")])
def test_times_that_are_none(text: str | float) -> None:
    with pytest.raises(InputError, match="--max-time"):
        seconds_of(text)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert config.read(tmp_path / "run.toml") == config.parse(MINIMAL, "run.toml")


@pytest.mark.parametrize(("word", "meant"), [("au", "Au"), ("CU", "Cu"), ("Cuu", "Cu")])
def test_the_nearest_name_looks_past_capitals(word: str, meant: str) -> None:
    assert nearest(word, ["Ta", "Cu", "Au"]) == f" (did you mean {meant!r}?)"
