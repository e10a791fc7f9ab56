"""Requirements of pyproject.toml: ``extra NAME``, or ``lowest``: all that is promised at its lowest version, pytest."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
# of the extra test, what tests without analysis need
RUNNERS = ("pytest", "pytest-xdist", "hypothesis")


def name_of(requirement: str) -> str:
    return requirement.split(">=")[0]


def main(what: str, extra: str = "") -> None:
    """Print them, one a line."""
    optional = PROJECT["optional-dependencies"]
    if what == "extra":
        print("\n".join(optional[extra]))
        return
    for requirement in PROJECT["dependencies"]:
        print(requirement.split(",")[0].replace(">=", "=="))
    print("\n".join([*optional["mpich"], *(one for one in optional["test"] if name_of(one) in RUNNERS)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
