"""The manual as a static site, by MkDocs: the pages, all options, and the Python side from its docstrings."""

from __future__ import annotations

import importlib.resources
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import grs_evo
from grs_evo.errors import InputError
from grs_evo.files import is_there
from grs_evo.guide.options import page, schema
from grs_evo.guide.pages import PAGES, heading, text

_MODULES = ("material", "mkdocstrings", "mkdocs")
_CONFIG = """\
site_name: grs_evo {version}
docs_dir: pages
site_dir: {site}
use_directory_urls: false
theme:
  name: material
  font: false
  features: [navigation.footer, content.code.copy, search.highlight]
  palette:
    - media: "(prefers-color-scheme: light)"
      scheme: default
    - media: "(prefers-color-scheme: dark)"
      scheme: slate
markdown_extensions: [tables, toc, pymdownx.highlight, pymdownx.superfences]
plugins:
  - search
  - mkdocstrings:
      default_handler: python
      handlers:
        python:
          paths: [{package}]
          options:
            docstring_style: numpy
            show_source: false
            heading_level: 2
            show_root_heading: true
            show_root_full_path: false
nav:
{nav}
"""


def build(out: Path) -> Path:
    """Write the site into a new folder; it needs no server and loads nothing from elsewhere. Returns its first page.

    Raises
    ------
    InputError
        The folder exists, MkDocs is not installed, or fails.
    """
    if is_there(out):
        raise InputError(f"{out}: exists already; choose another folder")
    if any(find_spec(name) is None for name in _MODULES):
        raise InputError("guide --site: needs MkDocs; install grs-evo[docs]")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _write_sources(work, out.absolute())
        done = subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-f", work / "mkdocs.yml"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise InputError(f"guide --site: mkdocs says: {' '.join((done.stderr or done.stdout).split())[-500:]}")
    return out / "index.html"


def _write_sources(work: Path, site: Path) -> None:
    """Pages and settings for MkDocs."""
    pages = work / "pages"
    pages.mkdir()
    names = {name: "index" if k == 0 else name for k, name in enumerate(PAGES)}
    for name, file in names.items():
        shown = text(name).replace(f"({PAGES[0]}.md)", "(index.md)")
        (pages / f"{file}.md").write_text(shown, encoding="utf-8")
    (pages / "options.md").write_text(page(), encoding="utf-8")
    (pages / "run-file.schema.json").write_text(schema(), encoding="utf-8")
    public = [name for name in grs_evo.__all__ if not name.startswith("_")]
    listed = "\n\n".join(f"::: {getattr(grs_evo, name).__module__}.{name}" for name in public)
    (pages / "api.md").write_text(f"# The Python side\n\n{listed}\n", encoding="utf-8")
    nav = [f"  - {heading(name)!r}: {file}.md" for name, file in names.items()]
    nav += ["  - 'Options of a run file': options.md", "  - 'The Python side': api.md"]
    package = Path(str(importlib.resources.files("grs_evo"))).parent
    config = _CONFIG.format(version=grs_evo.__version__, site=site, package=package, nav="\n".join(nav))
    (work / "mkdocs.yml").write_text(config, encoding="utf-8")
