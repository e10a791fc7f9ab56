"""How a structure came to be: its ancestors as far as the archive knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from grs_evo.errors import InputError
from grs_evo.search.population.individual import NO_PARENT, UID_BITS, Individual, short_uid


@dataclass(frozen=True)
class Ancestor:
    """One individual in a line of descent."""

    uid: int
    depth: int  # generations of descent before the individual wanted; 0 is itself
    parents: tuple[int, ...]  # uids, as far as they are known
    kept: bool  # whether the archive holds its structure
    known: bool = True  # whether more than its uid is known: from the archive, or remembered by a descendant
    operator: str = ""
    island: int = -1
    generation: int = -1
    value: float = float("nan")
    n_atoms: int = 0


def ancestry(individuals: Iterable[Individual], uid: int, most: int = 1000) -> list[Ancestor]:
    """The individual and its ancestors, nearest first.

    An archive keeps few of them; of the line along first parents each individual remembers the last twenty.

    Parameters
    ----------
    individuals : those the archive kept
    uid : of the individual wanted
    most : stop after so many ancestors

    Raises
    ------
    InputError
        The archive holds no individual of that uid.
    """
    everyone = list(individuals)
    kept = {one.uid for one in everyone}
    if uid not in kept:
        raise InputError(
            f"uid {short_uid(uid)} ({uid}): the archive holds no such individual"
            + (f"; its uids run from {short_uid(min(kept))} to {short_uid(max(kept))}" if kept else "; it is empty")
        )
    known = {one.uid: one for member in everyone for one in _remembered(member)}
    known |= {one.uid: _of(one) for one in everyone}
    found: list[Ancestor] = []
    seen = {uid}
    front, depth = [uid], 0
    while front and len(found) < most:
        following: list[int] = []
        for name in front:
            one = known.get(name, Ancestor(name, 0, (), False, known=False))
            found.append(replace(one, depth=depth))
            for parent in one.parents:
                if parent not in seen:
                    seen.add(parent)
                    following.append(parent)
        front, depth = following, depth + 1
    return found[:most]


def _of(one: Individual) -> Ancestor:
    return Ancestor(
        one.uid,
        0,
        _some(one.parents),
        True,
        operator=one.operator,
        island=one.island,
        generation=one.generation,
        value=one.value,
        n_atoms=one.structure.n_atoms,
    )


def _remembered(one: Individual) -> list[Ancestor]:
    """The ancestors in an individual's line of descent."""
    uids = one.line["uid"].tolist()
    return [
        Ancestor(
            int(step["uid"]),
            0,
            _some((first, int(step["other"]))),
            False,
            operator=bytes(step["operator"]).decode(),
            island=int(step["uid"]) >> UID_BITS,
            generation=int(step["generation"]),
            value=float(step["value"]),
            n_atoms=int(step["n_atoms"]),
        )
        for step, first in zip(one.line, [*uids[1:], NO_PARENT], strict=False)
    ]


def _some(parents: Iterable[int]) -> tuple[int, ...]:
    """Parents that there are, each once."""
    return tuple(dict.fromkeys(parent for parent in parents if parent != NO_PARENT))


def origins(individuals: Sequence[Individual]) -> dict[str, int]:
    """How many individuals each operator made, most first."""
    return dict(sorted(Counter(one.operator for one in individuals).items(), key=lambda pair: (-pair[1], pair[0])))


def lines(ancestors: Sequence[Ancestor]) -> list[str]:
    """The ancestry as text, one ancestor a line, indented by depth."""
    text = []
    for one in ancestors:
        start = "  " * one.depth + short_uid(one.uid)
        if not one.known:
            text.append(start + "  (no more is known)")
            continue
        made = f" from {', '.join(short_uid(p) for p in one.parents)}" if one.parents else ""
        text.append(
            f"{start}  {one.operator}{made}; generation {one.generation}, {one.n_atoms} atoms, value {one.value:.6g}"
            + ("" if one.kept else " (structure not kept)")
        )
    return text
