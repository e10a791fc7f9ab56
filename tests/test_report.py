"""The report: what it holds, that markup stays text, and that a browser shows it without a complaint."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from archives import archive, lattice, run_folder

from grs_evo.analysis import Coverage
from grs_evo.analysis.distributions import environments
from grs_evo.analysis.figures.environments import growth
from grs_evo.analysis.figures.figure import Figure, Series, axis, base_of
from grs_evo.analysis.figures.files import svg_text
from grs_evo.analysis.notation import significant
from grs_evo.errors import InputError
from grs_evo.report import page as page_of_report
from grs_evo.report import plot
from grs_evo.report.formatting import without_folders
from grs_evo.report.page import Section, figure, render, script_json, text, tiles
from grs_evo.report.report import compose, write_report
from grs_evo.report.sections import match
from grs_evo.search.population.individual import short_uid
from grs_evo.structures import symmetry
from grs_evo.structures.structure import Structure

EVIL = 'Ta <img src=x onerror="document.title=\'hit\'"> </script><script>document.title="hit"</script><!-- &amp; \'"'


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def data_of(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.fixture
def unpictured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without their pictures for browsers that run no scripts: nine tenths of a page's time, not looked at."""
    monkeypatch.setattr(page_of_report, "_without_scripts", lambda *_: "")


@pytest.fixture(scope="module")
def html() -> str:
    return compose(archive(in_set=4, elements=("Cu", "Au")), "a run")


def test_every_part_is_there(html):
    data = data_of(html)
    assert set(data["plots"]) >= {
        "pareto", "cost", "hypervolume", "coverage", "growth", "functions", "histogram-1", "convergence", "operators",
        "rejections", "migrations", "diversity", "histogram-any",
    }  # fmt: skip
    assert len(data["structures"]) == 4 + 6  # the set, and the best of the archive below it
    page = Page(html)
    drawn = {attributes["data-plot"] for _, attributes in page.elements if "data-plot" in attributes}
    assert drawn == set(data["plots"])
    anchors = {attributes["id"] for tag, attributes in page.elements if tag == "section"}
    links = {
        attributes["href"][1:]
        for tag, attributes in page.elements
        if tag == "a" and attributes.get("href", "").startswith("#")
    }
    assert links == anchors == {"overview", "structures", "front", "match", "search"}
    words = " ".join(page.words)
    for wanted in ("rattled lattice", "V_rep", "Evaluations", "seed = 1", "halves of the target"):
        assert wanted in words


def test_every_function_can_be_looked_at(html):
    plots = data_of(html)["plots"]
    choices = plots["histogram-any"]["choices"]
    basis = archive(1, elements=("Cu", "Au")).basis
    assert len(choices) + sum(key.startswith("histogram-") for key in plots) - 1 == basis.n_desc
    assert choices[0][1] == plots["histogram-any"]["traces"]
    assert sum(tag == "option" for tag, _ in Page(html).elements) == len(choices)
    for _, traces in choices:
        for trace in traces:
            assert sum(trace["y"][:-1]) == pytest.approx(1.0, abs=1e-4)


def odd_archives():
    made = archive(4)
    rng = np.random.default_rng(0)
    lone = Structure(np.zeros((1, 3)), 30 * np.eye(3), np.zeros(1, int), np.zeros(3, bool))
    wire = lattice(rng, 12).replace(pbc=np.array([False, False, True]))
    yield "one objective", {"objective_names": ("value",), "objectives": made.objectives[:, :1]}
    yield "many objectives", {"objective_names": ("a", "b", "c", "d", "<b>"), "objectives": rng.random((4, 5))}
    yield (
        "reversed",
        {
            "individuals": [replace(one, value=-one.value, terms=-one.terms) for one in made.individuals],
            "objectives": -made.objectives,
        },
    )
    yield (
        "all zero",
        {
            "individuals": [replace(one, value=0.0, terms=np.zeros(2)) for one in made.individuals],
            "objectives": np.zeros((4, 3)),
        },
    )
    yield "a lone atom", {"individuals": [replace(one, structure=lone) for one in made.individuals]}
    yield "a wire", {"individuals": [replace(one, structure=wire) for one in made.individuals]}
    yield "one structure", {"individuals": made.individuals[:1], "objectives": made.objectives[:1]}
    yield "no best value yet", {"history": {**made.history, "best_value": np.full(40, np.nan)}}
    yield "first generation", {"history": {name: column[:1] for name, column in made.history.items()}}


def test_odd_archives_are_reported_too():
    for name, changes in odd_archives():
        html = compose(replace(archive(4), **changes), name)
        assert len(data_of(html)["structures"]) == len(changes.get("individuals", range(4))), name


def test_nothing_is_fetched_from_anywhere(html):
    page = Page(html)
    policy = [a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv")]
    assert policy == ["default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"]
    for _, attributes in page.elements:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "#").startswith(("#", "data:"))


def test_the_data_behind_each_plot_can_be_taken(html):
    import base64

    page = Page(html)
    files = {a["download"]: a["href"] for tag, a in page.elements if tag == "a" and a.get("download")}
    assert {"pareto.csv", "convergence.csv", "coverage.csv", "archive.csv", "run.toml"} <= set(files)
    rows = base64.b64decode(files["pareto.csv"].split(",", 1)[1]).decode().splitlines()
    assert rows[0] == "uid,n_atoms,on_front,mean,variance,value,relative_cost,archive"
    assert len(rows) == 13
    made = archive(in_set=4, elements=("Cu", "Au"))
    assert float(rows[1].split(",")[3]) == made.objectives[0, 0]


def test_every_plot_is_a_picture_too_where_no_scripts_run(html):
    import base64
    from xml.etree import ElementTree

    pictures = re.findall(r'<noscript><img class="plotted".*?</noscript>', html)
    assert len(pictures) == len(data_of(html)["plots"])
    for picture in pictures:
        ((alt, source),) = re.findall(r'alt="([^"]+)" src="data:image/svg\+xml;base64,([^"]+)"', picture)
        root = ElementTree.fromstring(base64.b64decode(source))
        assert alt
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        words = "".join(root.itertext())
        assert "http" not in words  # no other file is asked for
        if alt == "Pareto front":
            assert "mean" in words


def test_what_scrolls_takes_the_keyboard_and_headers_say_something(html):
    page = Page(html)
    assert all(a.get("tabindex") == "0" for tag, a in page.elements if tag == "pre" or a.get("class") == "scroll")
    assert "<th></th>" not in html
    assert not re.search(r"<th[^>]*></th>", html)
    assert all(a.get("alt") for tag, a in page.elements if tag == "img")


def test_a_picture_says_what_its_ticks_say():
    loss = np.array([1e-3, 2e-3, 5e-3, 0.2])
    shown = svg_text(Figure("a", "A", "", [Series("$loss$", np.arange(4), loss)], y=axis("loss", loss)), (5.0, 4.0))
    assert ">0.001<" in shown
    assert not re.search(r"<[^>]*\.\d{3}", shown)


def test_large_tables_are_compressed_and_small_ones_are_not():
    import base64
    import gzip

    for content, name in (("a,b\n1,2\n", "x.csv"), ("a,b\n1,2\n" * 50_000, "x.csv.gz")):
        link = page_of_report.download("x.csv", content, "Data")
        ((given, href),) = re.findall(r'download="([^"]+)" href="data:[^"]*base64,([^"]+)"', link)
        data = base64.b64decode(href)
        assert given == name
        assert (gzip.decompress(data) if name.endswith("gz") else data).decode() == content
    assert len(link) < 10_000
    assert link == page_of_report.download("x.csv", content, "Data")  # without the time of the day


@pytest.mark.parametrize("where", ["description", "run_file", "title"])
def test_markup_shows_as_text(where):
    options = {where: EVIL} if where != "title" else {}
    html = compose(archive(4, **options), EVIL if where == "title" else "a run")
    page = Page(html)
    assert all(attributes["class"] == "plotted" for tag, attributes in page.elements if tag == "img")
    assert sum(tag == "script" for tag, _ in page.elements) == 4
    shown = without_folders(EVIL) if where == "description" else EVIL
    assert "<img" in shown
    assert shown in "".join(page.words)
    assert len(data_of(html)["structures"]) == 4


def test_json_cannot_leave_its_script_and_labels_cannot_hold_tags():
    encoded = script_json({"a": "</script><!-- & \u2028"})
    assert not set("<>&") & set(encoded)
    assert encoded.isascii()
    assert json.loads(encoded) == {"a": "</script><!-- & \u2028"}
    assert text('<a href="x">&') == "&lt;a href=&quot;x&quot;&gt;&amp;"
    assert plot.plain("<b>&") == "&lt;b&gt;&amp;"
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


def test_libraries_are_those_that_their_table_names():
    folder = Path(page_of_report.__file__).parent / "libraries"
    rows = re.findall(
        r"^\| `(\S+\.js)` .*?, `(\S+)` \| `(\w{64})` \|$", (folder / "README.md").read_text(), re.MULTILINE
    )
    assert sorted(name for name, *_ in rows) == sorted(path.name for path in folder.glob("*.js"))
    for name, licence, checksum in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
        assert "Copyright" in (folder / licence).read_text()


def test_two_reports_of_one_archive_are_equal(html):
    assert compose(archive(in_set=4, elements=("Cu", "Au")), "a run") == html


@pytest.mark.usefixtures("unpictured")
def test_a_structure_in_the_page_is_the_structure(tmp_path):
    from ase.io import read

    made = archive(5, elements=("Cu", "Au"))
    scenes = data_of(compose(made, "x"))["structures"]
    best = min(made.individuals, key=lambda one: one.value).structure
    np.testing.assert_allclose(np.reshape(scenes[0]["positions"], (-1, 3)), best.positions, atol=5.1e-5)
    (tmp_path / "x.extxyz").write_text(scenes[0]["file"])
    back = read(tmp_path / "x.extxyz")
    np.testing.assert_array_equal(back.positions, best.positions)
    np.testing.assert_array_equal(back.cell[:], best.cell)
    assert back.get_chemical_symbols() == [made.elements[k] for k in best.species]


def test_a_crystal_without_spread_is_said_and_not_a_crash():
    from grs_evo.targets.target import Target

    made = archive(3)
    crystal = Structure(np.zeros((1, 3)), 2.8 * np.eye(3), np.zeros(1, int), np.ones(3, bool))
    target = Target.from_structures(crystal, made.basis)
    html = compose(replace(made, target=target.to_arrays()), "x")
    assert "all environments are equal" in html
    assert "V_rep" not in html.split("<script")[0]


def test_what_is_missing_is_left_out():
    html = compose(archive(3, target=False), "x")
    assert "not stored in this archive" in html
    assert "match" not in {a.get("id") for tag, a in Page(html).elements if tag == "section"}
    bare = archive(3)
    html = compose(replace(bare, history={}), "x")
    assert "convergence" not in data_of(html)["plots"]


def test_bad_input_is_one_line(tmp_path):
    (tmp_path / "text.h5").write_text("no archive")
    cases = {
        tmp_path / "missing": "cannot be read|does not exist|no such",
        tmp_path / "text.h5": "no readable HDF5 file",
        run_folder(tmp_path / "empty", n=0): "holds no structures yet",
    }
    whole = (run_folder(tmp_path / "half") / "archive.h5").read_bytes()
    (tmp_path / "half" / "archive.h5").write_bytes(whole[: len(whole) // 2])
    cases[tmp_path / "half"] = r"has \d+ bytes of \d+"
    for path, words in cases.items():
        with pytest.raises(InputError, match=words) as caught:
            write_report(path, tmp_path / "out.html")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out.html").exists()


def test_the_report_lies_in_the_run_folder_unless_told_otherwise(tmp_path, request):
    folder = run_folder(tmp_path / "my-run", n=2)
    assert write_report(folder) == folder / "report.html"
    page = (folder / "report.html").read_text()
    assert "<h1>my-run</h1>" in page
    assert "1 min 35 s" in page
    assert "finished (generations)" in page
    request.getfixturevalue("unpictured")
    (folder / "status.json").write_text("[1, 2")
    assert "Timing" not in write_report(folder).read_text().split("<script")[0]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written there"):
        write_report(folder, tmp_path / "file" / "x.html")


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (0.53271, "0.5327"), (12345.6, "12\u2009346"), (1.5e-7, "1.50·10⁻⁷"), (np.nan, "–"), (-2.0, "−2.000")],
)
def test_numbers_are_written_for_people(value, words):
    assert significant(value) == words


# ---------------------------------------------------------------- sets, reverse runs, crystals

SET_RUN = '[target]\nfiles = ["x"]\n[loss]\nw_structure = 0.0\nw_set = 1.0\n[set]\nrounds = 3\n'
REVERSE = '[target]\nfiles = ["x"]\n[loss]\nw_structure = -0.01\n'
FORWARD = '[target]\nfiles = ["x"]\n'


def tiles_of(html: str) -> dict[str, tuple[str, str]]:
    """Name -> (value, remark) of the tiles, in order."""
    block = re.search(r'<dl class="tiles".*?</dl>', html, re.DOTALL)
    assert block is not None
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)(?:<small>(.*?)</small>)?</dd>", block[0])
    return {name: (value, remark) for name, value, remark in found}


def words_of(html: str) -> str:
    """What a reader sees, without the scripts."""
    return " ".join(re.sub(r"<[^>]*>", " ", html.split("<script")[0].split("</style>")[-1]).split())


def files_of(html: str) -> dict[str, str]:
    import base64

    links = [a for tag, a in Page(html).elements if tag == "a" and a.get("download")]
    return {a["download"]: base64.b64decode(a["href"].split(",", 1)[1]).decode() for a in links}


def with_structure_term(made, sign=1.0):
    """The same archive with the loss terms that a run writes, and values of the weight's sign."""
    individuals = [
        replace(one, terms=np.array([one.value, *one.terms]), value=sign * one.value) for one in made.individuals
    ]
    in_set = [individuals[made.individuals.index(one)] for one in made.set]
    return replace(made, individuals=individuals, set=in_set, term_names=("structure", "mean", "variance"))


def test_a_set_run_shows_its_set_first_and_in_order():
    from grs_evo.loss.objective import make_objective
    from grs_evo.loss.options import LossOptions
    from grs_evo.search.population import representative_set as sets
    from grs_evo.targets.target import Target

    made = with_structure_term(archive(12, in_set=5, run_file=SET_RUN))
    made = replace(made, set=made.set[::-1])  # the order of acceptance is not that of the archive
    html = compose(made, "x")
    sections = [a["id"] for tag, a in Page(html).elements if tag == "section"]
    assert sections[1] == "structures"
    assert "The representative set" in words_of(html)
    scenes = data_of(html)["structures"]
    for scene, one in zip(scenes, made.set, strict=False):
        np.testing.assert_allclose(np.reshape(scene["positions"], (-1, 3)), one.structure.positions, atol=5.1e-5)
    objective = make_objective(made.basis, Target.from_arrays(made.target), LossOptions(w_structure=0.0, w_set=1.0))
    losses = sets.resume(objective, made.set).losses[1:]
    tiles = tiles_of(html)
    assert next(iter(tiles.items())) == ("Set loss", (significant(losses[-1]), tiles["Set loss"][1]))
    files = files_of(html)
    assert files["set.extxyz"].count("grs_uid") == 5
    table = [line for line in files["set.csv"].splitlines() if not line.startswith("#")]
    assert [float(row.split(",")[4]) for row in table[1:]] == list(losses)
    assert table[0].split(",")[4] == "set loss"
    assert "acceptance" in data_of(html)["plots"]
    # What one structure is to the noise is not asked where the structure has no weight: the set's own is told.
    assert "random environments" in tiles["Against noise"][1]
    assert whole_atoms(made) in tiles["Against noise"][1]


def whole_atoms(made) -> str:
    return f"{sum(one.structure.n_atoms for one in made.set)} random"


def test_a_run_that_moves_away_is_not_described_as_one_that_comes_near(request):
    made = with_structure_term(archive(8, run_file=REVERSE), -0.01)
    rising = {**made.history, "best_structure": 1.0 / made.history["best_value"]}
    made = replace(made, history=rising)
    html = compose(made, "x")
    words, tiles = words_of(html), tiles_of(html)
    assert "depart from those of" in words
    assert "How far it is" in words
    assert tiles["Distance"][0] == significant(max(float(one.terms[0]) for one in made.individuals))
    for wrong in ("distributed like", "Best loss", "How well it matches", "begins high", "V_rep"):
        assert wrong not in words, wrong
    assert not any("−" in value for value, _ in tiles.values())
    assert "Beyond the target" in tiles
    request.getfixturevalue("unpictured")
    near = words_of(compose(with_structure_term(archive(8, run_file=FORWARD)), "x"))
    assert "are distributed like those of" in near
    assert "How well it matches" in near
    both = words_of(compose(with_structure_term(archive(8, in_set=3, run_file=REVERSE)), "x"))
    assert "The accepted structures" in both
    assert "How far each accepted structure lies" in both


@pytest.mark.usefixtures("unpictured")
def test_distances_of_a_run_whose_target_moved_are_from_the_target_as_given():
    from grs_evo.loss.objective import make_objective
    from grs_evo.loss.options import LossOptions
    from grs_evo.search.population import representative_set as sets
    from grs_evo.targets.target import Target

    made = with_structure_term(archive(8, in_set=3, run_file=REVERSE + '[set]\nrounds = 2\nbootstrap = "replace"\n'))
    objective = make_objective(made.basis, Target.from_arrays(made.target), LossOptions(w_structure=-0.01))
    far = sets.distances(made.set, objective)
    assert tiles_of(compose(made, "x"))["Distance"][0] == significant(float(far.max()))


@pytest.mark.usefixtures("unpictured")
def test_the_ratio_to_the_noise_is_the_one_that_score_tells():
    from grs_evo.loss.objective import make_objective
    from grs_evo.loss.options import LossOptions
    from grs_evo.loss.quality import quality
    from grs_evo.targets.target import Target

    made = archive(3, run_file=FORWARD)
    objective = make_objective(made.basis, Target.from_arrays(made.target), LossOptions())
    judged = [quality(objective, one.structure) for one in made.individuals]
    individuals = [
        replace(one, value=found.evaluation.value, terms=found.evaluation.terms)
        for one, found in zip(made.individuals, judged, strict=True)
    ]
    made = replace(made, individuals=individuals, term_names=objective.term_names)
    best = min(judged, key=lambda found: found.evaluation.value)
    assert tiles_of(compose(made, "x"))["Against noise"][0] == significant(best.noise_ratio, 3)


@pytest.mark.usefixtures("unpictured")
def test_a_crystal_of_one_environment_has_no_noise():
    from grs_evo.targets.target import Target

    made = with_structure_term(archive(3, run_file=FORWARD))
    crystal = Structure(np.zeros((1, 3)), 2.8 * np.eye(3), np.zeros(1, int), np.ones(3, bool))
    target = Target.from_structures(crystal, made.basis)
    tile = tiles_of(compose(replace(made, target=target.to_arrays()), "x"))["Against noise"]
    assert tile == ("no noise", "every sample of a crystal is the crystal")


@pytest.mark.usefixtures("unpictured")
def test_space_group_and_formula_are_told():
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    order = Structure(3.75 * sites, 3.75 * np.eye(3), np.array([1, 0, 0, 0]), np.ones(3, bool))
    assert symmetry.symmetry(order, ("Cu", "Au")) == ("Pm-3m (221)", "Cu3Au")
    made = archive(2, elements=("Cu", "Au"), run_file=FORWARD)
    best = replace(made.individuals[0], structure=order, value=0.0)
    html = compose(replace(made, individuals=[best, made.individuals[1]]), "x")
    assert tiles_of(html)["Best loss"] == ("0", "Cu3Au, Pm-3m, 4 atoms")
    assert ["symmetry", "Pm-3m (221), Cu3Au", "space group, formula; within 0.01 Å"] in data_of(html)["structures"][0][
        "facts"
    ]
    wire = order.replace(pbc=np.array([False, False, True]))
    assert symmetry.symmetry(wire, ("Cu", "Au")) is None
    assert symmetry.space_group(lattice(np.random.default_rng(0), 8), ("Ta",)) is None
    iron = Structure(np.arange(18.0).reshape(6, 3), 20 * np.eye(3), np.array([0] * 5 + [1]), np.ones(3, bool))
    assert symmetry.formula(iron, ("Fe", "Cr")) == "Fe5Cr"


# ---------------------------------------------------------------- coverage, numbers, ticks


def coverage_with(**changes) -> Coverage:
    known = {
        "v_rep": 5.9e-28, "factor": 5.3e20, "method": "widths", "dimension": 45, "variance": 0.99, "exact_dimension": 6,
        "exact": 3.4e-5, "inside": 0.0, "beyond": 0.1, "target_volume": 1.0, "set_volume": 3.4e-5,
    }  # fmt: skip
    return Coverage(**(known | changes))


def test_what_an_estimate_cannot_tell_stands_nowhere():
    made = archive(4, in_set=3)
    both = environments.of_structures([one.structure for one in made.set], made.basis)
    pair = match.Pair(both, both, both, made.basis, "representative set", False)
    (tile,) = match._coverage_tiles(pair, coverage_with(), None)
    assert tile == ("V_rep, leading", "3.4·10⁻⁵", "hull volume in the first 6 of 45 components")
    hull = growth([("set", [(1, 8, coverage_with()), (3, 24, coverage_with(exact=0.25))])]).series[0]
    assert list(hull.y) == [3.4e-5, 0.25]
    assert "first 6 components" in hull.name
    (told,) = match._coverage_tiles(pair, coverage_with(v_rep=0.5, factor=1.2), None)
    assert told[:2] == ("V_rep", "0.500")
    assert growth([("set", [(1, 8, coverage_with())])]) is None


@pytest.mark.usefixtures("unpictured")
def test_one_cell_is_compared_with_as_many_random_environments():
    words = words_of(compose(archive(4), "x"))
    assert re.search(r"\d+ random environments of the target reach V_rep = \S+ ± \S+ this cell", words)
    assert "within a factor" not in words


@pytest.mark.usefixtures("unpictured")
def test_a_sample_of_the_target_is_called_one():
    from grs_evo.targets.target import Target

    made = archive(4, in_set=3)
    structure = lattice(np.random.default_rng(0), 64)
    sampled = Target.from_structures(structure, made.basis, sample=20)
    html = compose(replace(made, target=sampled.to_arrays()), "x")
    assert "a sample of 20 of its 64 environments" in words_of(html)
    assert "upper estimate" in tiles_of(html)["V_rep"][1]
    assert "sample of" not in words_of(compose(made, "x"))


@pytest.mark.usefixtures("unpictured")
def test_every_number_is_written_in_one_way():
    """No "2.3e-11" beside "7.07·10⁻¹⁵", no "10,000" beside "10 000", no "-1" beside "−1"."""
    made = archive(6, in_set=3)
    small = [replace(one, value=1e-12 * one.value, terms=-1e-12 * one.terms) for one in made.individuals]
    html = compose(replace(made, individuals=small, run_file=""), "x")
    facts = [value for one in data_of(html)["structures"] for _, value, _ in one["facts"]]
    captions = [caption for plot in data_of(html)["plots"].values() for caption, _ in plot["choices"]]
    for shown in (words_of(html), *facts, *captions):
        assert not re.search(r"\d[eE][-+]?\d", shown), shown
        assert not re.search(r"\d,\d{3}\b", shown), shown
        assert not re.search(r"(^|[\s(])-\d", shown), shown
    assert 'separators: ".' in html


def test_logarithmic_ticks_are_numbers_in_full():
    few = plot.axis(axis("loss", [0.09, 30.0]))
    assert few["type"] == "log"
    assert few["ticktext"][:7] == ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1"]
    assert "20" in few["ticktext"]
    many = plot.axis(axis("loss", [2e-7, 40.0]))
    assert many["ticktext"][0] == "10⁻⁷"
    assert many["tickvals"] == sorted(many["tickvals"])
    assert len(plot.axis(axis("loss", [1e-30, 1.0]))["ticktext"]) <= 9
    assert "tickvals" not in plot.axis(axis("loss", [1.0, 2.0]))


def test_values_that_hardly_differ_are_drawn_over_their_common_part():
    assert base_of([4098478.3, 4098479.4]) == 4098470.0
    assert base_of([1.0, 2.0]) == base_of([3.0, 3.0]) == base_of([]) == 0.0
    made = archive(3)
    values = made.objectives.copy()
    values[:, 1] = 4098479.0 + values[:, 1]
    drawn = data_of(compose(replace(made, objectives=values), "x"))["plots"]["pareto"]
    assert drawn["layout"]["yaxis"]["title"]["text"].startswith("loss of the variances − ")
    assert max(trace["y"][0] for trace in drawn["traces"]) < 100


@pytest.mark.usefixtures("unpictured")
def test_uids_are_short_where_people_read_and_whole_where_programs_do():
    assert short_uid(3 * 2**40 + 29) == "3/29"
    made = archive(4)
    moved = [replace(one, uid=2**41 + k, parents=(2**41, 5)) for k, one in enumerate(made.individuals)]
    html = compose(replace(made, individuals=moved), "x")
    assert str(2**41 + 1) not in words_of(html)
    assert str(2**41 + 1) in files_of(html)["archive.csv"]
    facts = [{name: value for name, value, _ in one["facts"]} for one in data_of(html)["structures"]]
    assert all(one["made by"].endswith("of 2/0 and 0/5 (0/5 no longer kept)") for one in facts)


@pytest.mark.usefixtures("unpictured")
def test_the_words_for_the_terms_stand_where_the_terms_do():
    made = with_structure_term(archive(4, run_file=FORWARD))
    html = compose(made, "x")
    assert "this cell against the target (eq. 13)" in words_of(html)
    assert "# structure: this cell against the target (eq. 13)" in files_of(html)["archive.csv"]
    assert [note for name, _, note in data_of(html)["structures"][0]["facts"] if name == "structure"] == [
        "this cell against the target (eq. 13)"
    ]


def test_tiles_stand_in_rows_of_like_length():
    for count, columns in ((3, 3), (6, 6), (7, 4), (8, 4)):
        assert f"--columns:{columns}" in tiles([("a", "b", "c")] * count)


@pytest.mark.usefixtures("unpictured")
def test_the_time_of_compiling_is_told_where_the_run_tells_it(tmp_path):
    folder = run_folder(tmp_path / "run", n=2)
    assert "compiling" not in words_of(write_report(folder).read_text())
    (folder / "log.txt").write_text("2026-01-01T00:00:00 compiled in 12.3 s\n")
    assert "of it compiling 12.3 s" in words_of(write_report(folder).read_text())


# ---------------------------------------------------------------- in a real browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


DARK = "--blink-settings=preferredColorScheme=0"


def chromium(folder, page, *options):
    return subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=30000", "--window-size=1300,900", *options, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def browse(html, folder, width, dark):
    """Title, width of the content, number of drawn plots and console errors of a page in headless Chromium."""
    probe = """<script>addEventListener("load", () => { const wait = setInterval(() => {
      if (!document.documentElement.dataset.drawn) return;
      clearInterval(wait);
      document.title = JSON.stringify({ title: document.title, wide: document.documentElement.scrollWidth,
        view: document.documentElement.clientWidth, drawn: document.querySelectorAll(".canvas .main-svg").length,
        turned: document.querySelectorAll("#scene canvas").length,
        plots: +document.documentElement.dataset.drawn, background: getComputedStyle(document.body).backgroundColor });
    }, 50); });</script>"""
    page = folder / "page.html"
    page.write_text(html.replace("</body>", probe + "</body>"), encoding="utf-8")
    # A window cannot be made as narrow as a phone; a frame in it can.
    frame = folder / "frame.html"
    frame.write_text(
        f'<!doctype html><iframe id=f src="page.html" style="border:0;width:{width}px;height:800px"></iframe>'
        "<script>setInterval(() => { document.title = f.contentDocument.title }, 50)</script>"
    )
    done = chromium(folder, frame, "--dump-dom", "--hide-scrollbars", *([DARK] if dark else []))
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title is not None, done.stderr[-2000:]
    import html as entities

    errors = [
        line
        for line in done.stderr.splitlines()
        if "CONSOLE" in line and "GL Driver" not in line and "willReadFrequently" not in line
    ]
    return json.loads(entities.unescape(title[1])), errors


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to open the report in")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_browser_draws_it_all_without_complaint(tmp_path, width, dark):
    html = compose(archive(8, description=EVIL, in_set=3, elements=("Cu", "Au")), EVIL)
    seen, errors = browse(html, tmp_path, width, dark)
    assert errors == []
    assert seen["title"] == f"{EVIL}: grs_evo report"
    assert seen["view"] == width
    assert seen["wide"] <= seen["view"], "the page scrolls sideways"
    assert seen["drawn"] >= seen["plots"] > 10
    assert seen["turned"] == 1, "no structure to turn"
    assert (max(map(int, re.findall(r"\d+", seen["background"]))) < 60) == dark


def drawn_on(pdf, colour):
    """How often something is filled with a colour (0 … 255) in a PDF of Chromium's; and its sizes of pages, pt."""
    data, count = pdf.read_bytes(), 0
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
        try:
            lines = zlib.decompress(stream).decode("latin1").splitlines()
        except zlib.error:  # an image
            continue
        filled: list[float] = []
        for line in lines:
            *_, operator = parts = line.split() or [""]
            if operator == "rg":
                filled = [round(255 * float(one)) for one in parts[-4:-1]]
            count += operator == "f" and filled == colour
    return count, set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data))


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to print the report")
@pytest.mark.parametrize("dark", [False, True])
def test_all_points_are_on_the_paper_in_their_colours(tmp_path, dark):
    x = np.linspace(0.0, 1.0, 40)
    cloud = Figure("cloud", "A cloud", "", [Series("cloud", x, x**2, "points", size=8.0)])
    html = render(
        title="x", over="", lead="", summary="", sections=[Section("a", "A", "", figure(cloud, wide=True))],
        figures=[cloud], scenes=[], elements=["Ta"], radii=[1.0], footer="",
    )  # fmt: skip
    (tmp_path / "page.html").write_text(html.replace("--c0: #0072b2", "--c0: #14283c"), encoding="utf-8")
    pdf = tmp_path / "page.pdf"
    chromium(tmp_path, tmp_path / "page.html", f"--print-to-pdf={pdf}", *([DARK] if dark else []))
    count, sizes = drawn_on(pdf, [0x14, 0x28, 0x3C])
    assert count == len(x)
    assert {(round(float(a)), round(float(b))) for a, b in sizes} == {(595, 842)}


def test_folders_of_the_machine_do_not_show():
    assert without_folders("2 structures, /home/me/a b.xyz to runs/x/c.xyz") == "2 structures, a b.xyz to c.xyz"
    assert without_folders("Fe 50 at.% / Cr") == "Fe 50 at.% / Cr"
