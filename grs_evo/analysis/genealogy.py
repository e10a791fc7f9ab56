"""How a structure came to be: its ancestors as far as the archive kept them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..errors import InputError
from ..population import NO_PARENT, Individual, short_uid


@dataclass(frozen=True)
class Ancestor:
    """One individual in a line of descent."""

    uid: int
    depth: int  # generations of descent before the individual asked for; 0 is itself
    parents: tuple[int, ...]  # uids
    kept: bool  # whether the archive holds it; of one that it does not only the uid is known
    operator: str = ""
    island: int = -1
    generation: int = -1
    value: float = float("nan")


def ancestry(individuals: Iterable[Individual], uid: int, most: int = 1000) -> list[Ancestor]:
    """The individual and its ancestors, nearest first.

    Parameters
    ----------
    individuals : those the archive kept
    uid : of the individual asked for
    most : stop after so many ancestors

    Raises
    ------
    InputError
        The archive holds no individual of that uid.
    """
    known = {one.uid: one for one in individuals}
    if uid not in known:
        raise InputError(
            f"uid {short_uid(uid)} ({uid}): the archive holds no such individual"
            + (f"; its uids run from {short_uid(min(known))} to {short_uid(max(known))}" if known else "; it is empty")
        )
    found: list[Ancestor] = []
    seen = {uid}
    front, depth = [uid], 0
    while front and len(found) < most:
        following: list[int] = []
        for name in front:
            one = known.get(name)
            if one is None:
                found.append(Ancestor(name, depth, (), False))
                continue
            parents = tuple(dict.fromkeys(p for p in one.parents if p != NO_PARENT))
            found.append(Ancestor(name, depth, parents, True, one.operator, one.island, one.generation, one.value))
            for parent in parents:
                if parent not in seen:
                    seen.add(parent)
                    following.append(parent)
        front, depth = following, depth + 1
    return found[:most]


def origins(individuals: Sequence[Individual]) -> dict[str, int]:
    """How many individuals each operator made, most first."""
    return dict(sorted(Counter(one.operator for one in individuals).items(), key=lambda pair: (-pair[1], pair[0])))


def lines(ancestors: Sequence[Ancestor]) -> list[str]:
    """The ancestry as text, one ancestor a line, indented by depth."""
    text = []
    for one in ancestors:
        start = "  " * one.depth + short_uid(one.uid)
        if not one.kept:
            text.append(start + "  (not kept in the archive)")
            continue
        made = f" from {', '.join(short_uid(p) for p in one.parents)}" if one.parents else ""
        text.append(
            start + f"  {one.operator}{made}; island {one.island}, generation {one.generation}, value {one.value:.6g}"
        )
    return text
