"""What a release consists of: recipes that promise what pyproject.toml does, a wheel and a sdist that are whole.

python -m build && python tools/packaging/check.py dist/*
"""

from __future__ import annotations

import re
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Beside the package's own modules a wheel brings these.
IN_WHEEL = (
    "grs_evo/guide/first-run.md",
    "grs_evo/report/page.js",
    "grs_evo/report/page.css",
    "grs_evo/runs/cu3au-l12/run.toml",
    "grs_evo/runs/liquid-ta/target.extxyz",
    "grs_evo/tools/pareto.py",
    "grs_evo/py.typed",
)
IN_SDIST = ("README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md", "tests/conftest.py", "runs/cu3au-l12/run.toml")


def recipes() -> Iterator[str]:
    """What the recipes lack of the dependencies and the version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = re.search(r'__version__ = "(.+)"', (ROOT / "grs_evo/__init__.py").read_text())
    assert version is not None
    names = [re.split(r"[<>=]", one)[0] for one in project["dependencies"]]
    lowest = {re.split(r"[<>=]", one)[0]: re.findall(r">=([\d.]+)", one)[0] for one in project["dependencies"]}
    conda = (HERE / "conda/recipe.yaml").read_text()
    spack = (HERE / "spack/package.py").read_text()
    (easybuild,) = (HERE / "easybuild").glob("*.eb")
    for name in names:
        if not re.search(rf"- {name} >={re.escape(lowest[name])}", conda):
            yield f"conda: {name} >={lowest[name]} is missing"
        if f'"py-{name}@{lowest[name]}:' not in spack:
            yield f"spack: py-{name}@{lowest[name]}: is missing"
    yield from _containers()
    for place, text in (("conda", conda), ("spack", spack), ("easybuild", easybuild.read_text())):
        if version[1] not in text:
            yield f"{place}: is not of version {version[1]}"


def _containers() -> Iterator[str]:
    """What the two recipes for containers install differently."""
    found = []
    for name in ("Dockerfile", "Apptainer.def"):
        text = (HERE / name).read_text().replace("--no-cache-dir ", "")
        base = re.search(r"python:\S+", text)
        made = re.findall(r"(?:apt-get install|pip install|ln -s) [^\n\\&]+", text)
        found.append([base and base[0], *(" ".join(one.split()) for one in made)])
    if found[0] != found[1]:
        yield f"Dockerfile and Apptainer.def differ: {found[0]} and {found[1]}"


def distribution(path: Path) -> Iterator[str]:
    """What a wheel or sdist lacks, or has too much."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            yield from _lacks(path, IN_WHEEL, wheel.namelist())
            stray = [name for name in wheel.namelist() if name.partition("/")[0] not in ("grs_evo", _meta(path))]
            yield from (f"{path.name}: {name} does not belong there" for name in stray)
    else:
        with tarfile.open(path) as sdist:
            yield from _lacks(path, IN_SDIST, [name.partition("/")[2] for name in sdist.getnames()])


def _meta(path: Path) -> str:
    return "-".join(path.name.split("-")[:2]) + ".dist-info"


def _lacks(path: Path, wanted: Iterable[str], names: Iterable[str]) -> Iterator[str]:
    found = set(names)
    yield from (f"{path.name}: lacks {one}" for one in wanted if one not in found)


def main(arguments: list[str]) -> int:
    """Say what is wrong, a line each."""
    wrong = [*recipes(), *(line for one in arguments for line in distribution(Path(one)))]
    print("\n".join(wrong) or "recipes and distributions are whole")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
