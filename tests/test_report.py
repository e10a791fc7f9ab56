"""The report: what it holds, that markup stays text, and that a browser shows it without a complaint."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from archives import archive, lattice, run_folder

from grs_evo.errors import InputError
from grs_evo.report import compose, content, write_report
from grs_evo.report.content import significant
from grs_evo.report.page import script_json, text
from grs_evo.report.plot import plain
from grs_evo.report.solid import extxyz
from grs_evo.structure import Structure

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


@pytest.fixture(scope="module")
def html() -> str:
    return compose(archive(in_set=4, elements=("Cu", "Au")), "a run")


def test_every_part_is_there(html):
    data = data_of(html)
    assert set(data["plots"]) >= {
        "pareto", "cost", "hypervolume", "coverage", "growth", "functions", "histogram-1", "convergence", "operators",
        "rejections", "migrations", "diversity", "histogram-any",
    }  # fmt: skip
    assert len(data["structures"]) == 12
    page = Page(html)
    drawn = {attributes["data-plot"] for _, attributes in page.elements if "data-plot" in attributes}
    assert drawn == set(data["plots"])
    anchors = {attributes["id"] for tag, attributes in page.elements if tag == "section"}
    links = {
        attributes["href"][1:]
        for tag, attributes in page.elements
        if tag == "a" and attributes.get("href", "").startswith("#")
    }
    assert links == anchors == {"asked", "structures", "front", "match", "search"}
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
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith(("#", "data:"))


def test_the_data_behind_each_plot_can_be_taken(html):
    import base64

    page = Page(html)
    files = {a["download"]: a["href"] for tag, a in page.elements if tag == "a" and a.get("download")}
    assert {"pareto.csv", "convergence.csv", "coverage.csv", "archive.csv", "run.toml"} <= set(files)
    rows = base64.b64decode(files["pareto.csv"].split(",", 1)[1]).decode().splitlines()
    assert rows[0] == "uid,n_atoms,on_front,mean,variance,n_atoms"[: len("uid,n_atoms,on_front,mean,variance")]
    assert len(rows) == 13
    made = archive(in_set=4, elements=("Cu", "Au"))
    assert float(rows[1].split(",")[3]) == made.objectives[0, 0]


@pytest.mark.parametrize("where", ["description", "run_file", "title"])
def test_markup_shows_as_text(where):
    options = {where: EVIL} if where != "title" else {}
    html = compose(archive(4, **options), EVIL if where == "title" else "a run")
    page = Page(html)
    assert not any(tag == "img" for tag, _ in page.elements)
    assert sum(tag == "script" for tag, _ in page.elements) == 3
    shown = content.without_folders(EVIL) if where == "description" else EVIL
    assert "<img" in shown
    assert shown in "".join(page.words)
    assert len(data_of(html)["structures"]) == 4


def test_json_cannot_leave_its_script_and_labels_cannot_hold_tags():
    encoded = script_json({"a": "</script><!-- & \u2028"})
    assert not set("<>&") & set(encoded)
    assert encoded.isascii()
    assert json.loads(encoded) == {"a": "</script><!-- & \u2028"}
    assert text('<a href="x">&') == "&lt;a href=&quot;x&quot;&gt;&amp;"
    assert plain("<b>&") == "&lt;b&gt;&amp;"
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


def test_two_reports_of_one_archive_are_equal():
    assert compose(archive(3), "x") == compose(archive(3), "x")


def test_a_structure_in_the_page_is_the_structure(tmp_path):
    from ase.io import read

    made = archive(5, elements=("Cu", "Au"))
    scenes = data_of(compose(made, "x"))["structures"]
    best = min(made.individuals, key=lambda one: one.value).structure
    np.testing.assert_allclose(np.reshape(scenes[0]["positions"], (-1, 3)), best.positions, atol=5.1e-5)
    (tmp_path / "x.extxyz").write_text(scenes[0]["file"])
    back = read(tmp_path / "x.extxyz")
    np.testing.assert_allclose(back.positions, best.positions, atol=1e-8, rtol=0)
    np.testing.assert_allclose(back.cell[:], best.cell, atol=1e-12, rtol=0)
    assert back.get_chemical_symbols() == [made.elements[k] for k in best.species]


def test_a_crystal_without_spread_is_said_and_not_a_crash():
    from grs_evo.target import Target

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
    cases[tmp_path / "half"] = "no readable HDF5|is no whole"
    for path, words in cases.items():
        with pytest.raises(InputError, match=words) as caught:
            write_report(path, tmp_path / "out.html")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out.html").exists()


def test_the_report_lies_in_the_run_folder_unless_told_otherwise(tmp_path):
    folder = run_folder(tmp_path / "my-run", n=2)
    assert write_report(folder) == folder / "report.html"
    page = (folder / "report.html").read_text()
    assert "<h1>my-run</h1>" in page
    assert "95 s" in page
    assert "finished (generations)" in page
    (folder / "status.json").write_text("[1, 2")
    assert "Timing" not in write_report(folder).read_text().split("<script")[0]
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written there"):
        write_report(folder, tmp_path / "file" / "x.html")


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (0.53271, "0.5327"), (12345.6, "12\u2009346"), (1.5e-7, "1.50·10⁻⁷"), (np.nan, "–"), (-2.0, "-2.000")],
)
def test_numbers_are_written_for_people(value, words):
    assert significant(value) == words


def test_extxyz_keeps_odd_values():
    written = extxyz(lattice(np.random.default_rng(0), 2), ("Ta",), {"grs_operator": 'a "quoted" = name'})
    assert written.splitlines()[0] == "2"
    assert len(written.splitlines()) == 4


# ---------------------------------------------------------------- in a real browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def browse(html, folder, width, dark):
    """Title, width of the content, number of drawn plots and console errors of a page in headless Chromium."""
    probe = """<script>addEventListener("load", () => { const wait = setInterval(() => {
      if (!document.documentElement.dataset.drawn) return;
      clearInterval(wait);
      document.title = JSON.stringify({ title: document.title, wide: document.documentElement.scrollWidth,
        view: document.documentElement.clientWidth, drawn: document.querySelectorAll(".canvas .main-svg").length,
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
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--allow-file-access-from-files", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
            "--virtual-time-budget=30000", "--window-size=1300,900", "--dump-dom", "--hide-scrollbars",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []), frame.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
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
    assert (max(map(int, re.findall(r"\d+", seen["background"]))) < 60) == dark


def test_folders_of_the_machine_do_not_show():
    assert content.without_folders("2 structures, /home/me/a b.xyz to runs/x/c.xyz") == "2 structures, a b.xyz to c.xyz"
    assert content.without_folders("Fe 50 at.% / Cr") == "Fe 50 at.% / Cr"
