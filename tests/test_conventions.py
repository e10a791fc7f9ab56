"""What the code keeps to besides working: plain words, small packages, no circles, texts that name what is there."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FIRST

import grs_evo

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "grs_evo"
MODULES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = sorted({path.parent for path in MODULES})
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TEXTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("runs/*/README.md")),
    *ROOT.glob("tools/**/*.md"),
]
MOST_MODULES, MOST_LINES = 8, 450

# Words that are no one's terms here: names and docstrings use those of the paper and the field.
WORDS = frozenset(
    """desk crew ground conductor briefing wire spent identity story leg verdict alarm question asked course solid
    yardstick""".split()  # noqa: SIM905  # a list would be eighteen lines
)
# A module is not a room; scratch arrays may have room for something.
ROOMS = re.compile(r"\brooms\b|\b(?:each|this|only|one|every) room\b|\broom (?:of its own|per)\b")
# A verdict on a result is one: where a structure is judged against the target. A wire may be one of atoms.
FINE = {"observables": {"verdict", "wire"}, "loss": {"verdict"}, "cli": {"verdict"}, "report": {"verdict"}}


def identifier(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def package(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def words_of(text: str) -> set[str]:
    """Words of a name or sentence, in lower case and without the s of a plural."""
    spread = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text).lower()
    found = set(re.findall(r"[a-z]+", spread))
    return found | {word.removesuffix("s") for word in found} | {re.sub("ies$", "y", word) for word in found}


def names_and_docstrings(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What a module calls its things, and what it says of them, with lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or "", getattr(node, "lineno", 1)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


@pytest.mark.parametrize("path", MODULES, ids=identifier)
def test_names_and_docstrings_use_the_words_of_the_field(path: Path) -> None:
    allowed = FINE.get(package(path), set())
    banned = WORDS - allowed
    said = [(path.stem, 0), *names_and_docstrings(ast.parse(path.read_text()))]
    found = {
        f"line {line}: {', '.join(sorted(words_of(text) & banned))}" for text, line in said if words_of(text) & banned
    }
    found |= {f"line {line}: {text}" for text, line in said if "rooms" not in allowed and ROOMS.search(text)}
    assert not found, f"{identifier(path)}: {sorted(found)}"


def test_pyproject_and_guides_use_the_words_of_the_field() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert not words_of(text) & WORDS
    for name in ("CONTRIBUTING.md",):
        # the words themselves stand there once, in quotes, as an example of what not to write
        plain = re.sub(r"“[^”]*”", "", (ROOT / name).read_text())
        assert not words_of(plain) & (WORDS - {"question", "course", "ground"}), name


@pytest.mark.parametrize("folder", PACKAGES, ids=identifier)
def test_packages_can_be_surveyed(folder: Path) -> None:
    modules = sorted(path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "__main__"))
    assert len(modules) <= MOST_MODULES, f"{identifier(folder)}: {modules}"
    page = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    if folder != PACKAGE and len(modules) > 1:
        missing = [name for name in modules if f"`{name}`" not in page]
        assert not missing, f"{identifier(folder)}: the page does not say what {missing} are for"


@pytest.mark.parametrize("path", MODULES, ids=identifier)
def test_modules_are_short_or_say_why_not(path: Path) -> None:
    lines = path.read_text().splitlines()
    if len(lines) > MOST_LINES:
        assert any(f"More than {MOST_LINES} lines" in line for line in lines[:10]), f"{identifier(path)}: {len(lines)}"


def imports_of(path: Path, known: set[str]) -> set[str]:
    """Modules of the package that one imports anywhere: within functions and for types alone, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            named = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            named = [f"{node.module}.{one.name}" for one in node.names]
        else:
            continue
        for name in named:
            while name not in known and "." in name:
                name = name.rpartition(".")[0]
            if name in known:
                found.add(name)
    return found


def test_no_circle_of_modules() -> None:
    dotted = {
        path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in MODULES
    }
    known = set(dotted.values())
    graph = {name: imports_of(path, known) - {name, "grs_evo"} for path, name in dotted.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_layers_fit_on_a_page() -> None:
    (layers,) = (one for one in PYPROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    assert len(layers["layers"]) <= 16
    assert layers["exhaustive"]
    assert not PYPROJECT["tool"]["importlinter"]["exclude_type_checking_imports"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_and_names_in_texts_exist(path: Path) -> None:
    text = path.read_text()
    missing = []
    for name in re.findall(r"`(?:python )?((?:grs_evo|runs|tools|tests|\.ci)/[\w./*-]+)`", text):
        if not any(ROOT.glob(name.rstrip("/"))):
            missing.append(name)
    for name in re.findall(r"`(grs_evo(?:\.\w+)+)`", text):
        owner, _, last = name.rpartition(".")
        found = importlib.util.find_spec(owner)
        if found is None or not (hasattr(importlib.import_module(owner), last) or importlib.util.find_spec(name)):
            missing.append(name)
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        if not (path.parent / link).exists():
            missing.append(link)
    assert not missing


def test_one_version_everywhere() -> None:
    assert "version" not in PYPROJECT["project"]
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"] == PACKAGE / "__init__.py"
    citation = dict(re.findall(r"^(\S+): (.*)$", (ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE))
    assert citation["version"] == grs_evo.__version__
    assert citation["license"] == PYPROJECT["project"]["license"]
    (author,) = PYPROJECT["project"]["authors"]
    assert f'name: "{author["name"]}"' in (ROOT / "CITATION.cff").read_text()
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert not released or released[0] == grs_evo.__version__


def test_the_order_of_test_files_names_files() -> None:
    assert [name for name in FIRST if not (ROOT / "tests" / name).is_file()] == []
