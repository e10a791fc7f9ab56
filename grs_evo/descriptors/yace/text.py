"""The text of .yace files: parsed at the speed of JSON where it has the usual form, and written in it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import yaml

from grs_evo.descriptors.angular import tree_tensor
from grs_evo.descriptors.coupling import Label
from grs_evo.errors import InputError


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain data only; keys may be lists ("[0, 1]:"), and a key given twice is an error."""

    def unique_mapping(self, node: Any) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            key = tuple(key) if isinstance(key, list) else key
            if isinstance(key, dict) or key in out:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            out[key] = self.construct_object(value_node, deep=True)
        return out


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.unique_mapping)


def parse(text: str, name: str) -> dict[Any, Any]:
    """The file as nested dictionaries; lists of functions in the usual one-per-line form by a short cut."""
    head, functions = _usual_form(text)
    try:
        data = yaml.load(text if functions is None else head, Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise InputError(f"{name}: is no YAML{where} ({problem})") from error
    if not isinstance(data, dict):
        raise InputError(f"{name}: is no .yace file; it must hold the keys elements, embeddings, bonds and functions")
    if functions is not None:
        data["functions"] = functions
    return data


def _usual_form(text: str) -> tuple[str, dict[int, list[Any]] | None]:
    """Split off the functions where each is one flow mapping per line, as FitSNAP writes them: faster than YAML."""
    start = re.search(r"^functions:[ \t]*\r?\n", text, re.MULTILINE)
    if start is None:
        return text, None
    functions: dict[int, list[Any]] = {}
    current: list[Any] | None = None

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        out = dict(pairs)
        if len(out) != len(pairs):
            raise ValueError
        return out

    try:
        for line in text[start.end() :].splitlines():
            line = line.strip()
            if line.startswith("- {"):
                if current is None:
                    return text, None
                current.append(
                    json.loads(re.sub(r"([{,]\s*)([A-Za-z_]\w*):", r'\1"\2":', line[2:]), object_pairs_hook=unique)
                )
            elif re.fullmatch(r"\d+:", line) and int(line[:-1]) not in functions:
                current = functions.setdefault(int(line[:-1]), [])
            elif line:
                return text, None
    except ValueError:  # not JSON after all: let YAML have the word
        return text, None
    return text[: start.start()], functions


@lru_cache(maxsize=4096)
def _nonzero(ls: tuple[int, ...], terms: tuple[tuple[tuple[int, ...], float], ...]) -> tuple[list[int], list[float]]:
    tensor = np.zeros(tuple(2 * l + 1 for l in ls))
    for Ls, weight in terms:
        tensor = tensor + weight * tree_tensor(ls, Ls)
    places = np.argwhere(np.abs(tensor) > 1e-15)
    return (places - np.array(ls)).ravel().tolist(), [float(tensor[tuple(p)]) for p in places]


def function_text(mu0: int, terms: Sequence[tuple[Label, float]], c: float, rank_if_zero: int = 1) -> str:
    """A function on one line; one that vanishes identically is 0 times a power of the first radial function."""
    power = (0,) * rank_if_zero
    label = terms[0][0] if terms else Label(mu0, power, (1,) * rank_if_zero, power, ())
    ms, weights = _nonzero(label.ls, tuple((part.Ls, w) for part, w in terms)) if terms else (list(power), [0.0])
    return (
        f"{{mu0: {label.mu0}, rank: {len(label.ls)}, ndensity: 1, num_ms_combs: {len(weights)},"
        f" mus: {list(label.mus)}, ns: {list(label.ns)}, ls: {list(label.ls)}, ms_combs: {ms},"
        f" ctildes: {flow([c * w for w in weights])}}}"
    )


def number_text(x: float) -> str:
    """Shortest text that reads back as the same number, with a point so that every YAML reader takes it for one."""
    text = repr(float(x))
    return text if "e" not in text or "." in text else text.replace("e", ".0e")


def flow(values: Sequence[float]) -> str:
    return "[" + ", ".join(number_text(x) for x in values) + "]"
