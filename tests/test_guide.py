"""README and the manual: every block is run, every page is listed; options and schema come from the models."""

from __future__ import annotations

import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import documents
import pytest

import grs_evo
from grs_evo.cli.commands import main
from grs_evo.driver.config.run_file import RunFile
from grs_evo.guide import pages
from grs_evo.guide.options import page, schema, tables
from grs_evo.guide.site import build

GUIDE = documents.ROOT / "grs_evo" / "guide"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    documents.prepare(folder)
    return folder


@pytest.mark.parametrize("name", ["README", *pages.PAGES])
def test_every_block_runs(
    name: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = documents.ROOT / "README.md" if name == "README" else GUIDE / f"{name}.md"
    documents.copied(files, tmp_path)
    monkeypatch.chdir(tmp_path)
    names = documents.run_document(path.read_text(), capsys)
    if name == "README":
        assert names["target"].n_environments == 2 * 32
        assert names["done"].improved
        assert Path("cu.yace").is_file()


def test_the_readme_is_short_and_its_run_file_is_the_one_that_ships() -> None:
    text = (documents.ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 200
    (shown,) = [one.text for one in documents.blocks(text) if one.language == "toml"]
    assert tomllib.loads(shown) == tomllib.loads((documents.ROOT / "runs/cu3au-l12/run.toml").read_text())


def test_every_page_is_listed_and_links_lead_to_pages() -> None:
    assert sorted(path.stem for path in GUIDE.glob("*.md")) == sorted(pages.PAGES)
    for name in pages.PAGES:
        text = pages.text(name)
        assert text.startswith("# ")
        for link in re.findall(r"\]\((?!https:)([^)]+)\)", text):
            assert link.removesuffix(".md") in pages.PAGES, (name, link)
    assert max(map(len, pages.contents().splitlines())) <= 80


def test_pages_are_shown_in_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in ((["guide"], "first-run"), (["guide", "verdict"], "# Reading the verdict")):
        with pytest.raises(SystemExit):
            main(arguments)
        assert said in capsys.readouterr().out
    assert (
        max(len(re.sub("\x1b[^m]*m", "", line)) for line in pages.rendered(pages.text("sets"), 80).splitlines()) <= 80
    )
    for slip, said in ((["guide", "verdicts"], "'verdict'"), (["guide", "options", "relaxx"], "'relax'")):
        with pytest.raises(SystemExit) as done:
            main(slip)
        assert done.value.code == 2
        assert said in capsys.readouterr().err


def test_the_reference_has_every_option() -> None:
    text = page()
    for name, model in tables().items():
        assert name == "" or f"[{name}]" in text
        assert model.__doc__
    for field in ("max_evaluations", "w_entropy", "min_distance", "bootstrap_weight", "strategy", "a"):
        assert f"* `{field}` = " in text
    assert "[candidates]" not in page("relax")


def test_the_schema_takes_the_runs_that_ship_and_refuses_slips() -> None:
    found = json.loads(schema())
    assert set(found["properties"]) == set(RunFile.model_fields)
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed; the schema was not applied")
    for path in sorted(documents.ROOT.glob("runs/*/*.toml")):
        jsonschema.validate(tomllib.loads(path.read_text()), found)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"target": {"files": ["a.xyz"]}, "basis": {"cutof": 6.0}}, found)


@pytest.mark.long
def test_the_site_has_every_page(tmp_path: Path) -> None:
    if find_spec("material") is None or find_spec("mkdocstrings") is None:
        pytest.skip("MkDocs is not installed; the site was not built")
    first = build(tmp_path / "site")
    assert first.is_file()
    made = {path.stem for path in first.parent.glob("*.html")}
    assert made >= {"index", "options", "api", *pages.PAGES[1:]}
    assert all(name in (first.parent / "api.html").read_text() for name in grs_evo.__all__ if name[0] != "_")
