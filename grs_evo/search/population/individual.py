"""Individuals, and lists of them as columns of arrays: the form in which they are stored and sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.structures.structure import Structure, content_hash, pack_structures, unpack_structures

NO_PARENT = -1
# uids: the island in the high bits, a running number in the low ones.
UID_BITS = 40
# Longest operator name that the fixed-width column holds.
_NAME_BYTES = 24

# An ancestor in a line of descent; its island is in its uid. 48 bytes.
STEP = np.dtype(
    [
        ("uid", "<i8"),
        ("other", "<i8"),  # uid of its second parent; its first is the next step
        ("value", "<f8"),
        ("generation", "<i4"),
        ("n_atoms", "<i4"),
        ("operator", "S16"),
    ]
)
_PACKED_STEP = Struct("<qqdii16s")
# Ancestors that an individual remembers: with it they travel, and are saved, so 1 kB at most.
LINE_LENGTH = 20


def _no_line() -> NDArray[np.void]:
    return np.empty(0, STEP)


_NO_LINE = _no_line()


@dataclass(frozen=True, eq=False)
class Individual:
    """A structure, its value, and where it comes from."""

    structure: Structure
    value: float  # what the search minimises (V_eff, eq. 16); finite, always
    terms: NDArray[np.float64]  # (n_terms,) the parts of it, named by Objective.term_names
    uid: int  # unique in the run, and the same on any number of ranks
    parents: tuple[int, int] = (NO_PARENT, NO_PARENT)  # uids
    operator: str = "random"  # what made it: an operator's name, or "random", "seed", "template", "relax", …
    island: int = 0
    generation: int = 0
    evaluation: int = 0  # evaluations of its island until it was found
    # (n ≤ LINE_LENGTH,) of STEP: its first parent, that one's first parent, and so on
    line: NDArray[np.void] = field(default_factory=_no_line)

    @property
    def content(self) -> str:
        return content_hash(self.structure)


def newborn(**fields: Any) -> Individual:
    """`Individual(**fields)` of all fields but the line, several times faster."""
    made = object.__new__(Individual)
    made.__dict__.update(fields, line=_NO_LINE)
    return made


def heir(child: Individual, parent: Individual) -> Individual:
    """The child with its line of descent: its first parent, and what that one remembers."""
    # As bytes, and without `replace`, which looks at every field: a tenth of the time of a child.
    first = _PACKED_STEP.pack(
        parent.uid, parent.parents[1], parent.value, parent.generation, parent.structure.n_atoms,
        parent.operator.encode(),
    )  # fmt: skip
    line = np.frombuffer(first + parent.line.tobytes()[: (LINE_LENGTH - 1) * STEP.itemsize], STEP)
    made = object.__new__(Individual)
    made.__dict__.update(child.__dict__, line=line)
    return made


def order_key(one: Individual) -> tuple[float, int]:
    """What individuals are sorted by: the lowest value first, of equal values the lowest uid."""
    return (one.value, one.uid)


def short_uid(uid: int) -> str:
    """A uid for people: ``"3/29"`` is the 29th individual of island 3; files hold the number itself."""
    return f"{uid >> UID_BITS}/{uid & ((1 << UID_BITS) - 1)}" if uid >= 0 else "-"


def read_uid(text: str) -> int:
    """A uid as `short_uid` writes it, or the number itself.

    Raises
    ------
    InputError
        Neither of these.
    """
    island, slash, place = text.partition("/")
    try:
        uid = (int(island) << UID_BITS) + int(place) if slash else int(text)
    except ValueError:
        uid = NO_PARENT
    if uid < 0 or (slash and not 0 <= int(place) < 1 << UID_BITS):
        raise InputError(f"uid {text}: must be island/number such as 3/29, or the whole number that files hold")
    return uid


Columns = dict[str, NDArray[Any]]


def pack(individuals: Sequence[Individual], n_terms: int) -> Columns:
    """Individuals as named arrays of fixed dtype; the inverse of `unpack`, bit for bit."""
    line = np.concatenate([one.line for one in individuals] or [_no_line()])
    return {
        **pack_structures([one.structure for one in individuals]),
        "value": np.array([one.value for one in individuals], dtype=np.float64),
        "terms": np.array([one.terms for one in individuals], dtype=np.float64).reshape(len(individuals), n_terms),
        "uid": np.array([one.uid for one in individuals], dtype=np.int64),
        "parents": np.array([one.parents for one in individuals], dtype=np.int64).reshape(-1, 2),
        "operator": np.array([one.operator.encode() for one in individuals], dtype=f"S{_NAME_BYTES}"),
        "island": np.array([one.island for one in individuals], dtype=np.int64),
        "generation": np.array([one.generation for one in individuals], dtype=np.int64),
        "evaluation": np.array([one.evaluation for one in individuals], dtype=np.int64),
        "line_length": np.array([len(one.line) for one in individuals], dtype=np.int64),
        **{f"line_{name}": np.ascontiguousarray(line[name]) for name in STEP.names or ()},
    }


def without_lines(columns: Mapping[str, NDArray[Any]]) -> Columns:
    """Columns of a version that kept no lines of descent, as this one would have written them: with empty ones."""
    empty = _no_line()
    added = {f"line_{name}": np.ascontiguousarray(empty[name]) for name in STEP.names or ()}
    return {**columns, "line_length": np.zeros(len(columns["n_atoms"]), np.int64), **added}


def unpack(columns: Mapping[str, NDArray[Any]]) -> list[Individual]:
    """Named arrays, as `pack` makes them, back into individuals."""
    if "line_length" not in columns:  # of a checkpoint that an older version wrote
        columns = without_lines(columns)
    line_ends = np.cumsum(columns["line_length"])
    lines = np.empty(len(columns["line_uid"]), STEP)
    for name in STEP.names or ():
        lines[name] = columns[f"line_{name}"]
    individuals = []
    for k, structure in enumerate(unpack_structures(columns)):
        steps = slice(int(line_ends[k] - columns["line_length"][k]), int(line_ends[k]))
        individuals.append(
            Individual(
                structure,
                value=float(columns["value"][k]),
                terms=np.array(columns["terms"][k]),
                uid=int(columns["uid"][k]),
                parents=(int(columns["parents"][k, 0]), int(columns["parents"][k, 1])),
                operator=bytes(columns["operator"][k]).decode(),
                island=int(columns["island"][k]),
                generation=int(columns["generation"][k]),
                evaluation=int(columns["evaluation"][k]),
                line=lines[steps].copy(),
            )
        )
    return individuals


def unpack_of(columns: Mapping[str, NDArray[Any]], group: str) -> list[Individual]:
    """Individuals whose columns stand among others, under names such as ``archive.value``."""
    start = f"{group}."
    return unpack({name[len(start) :]: column for name, column in columns.items() if name.startswith(start)})


def best_distinct(individuals: Sequence[Individual], count: int) -> list[Individual]:
    """The `count` lowest values, of different structures, best first."""
    kept: list[Individual] = []
    seen: set[str] = set()
    for one in sorted(individuals, key=order_key):
        if len(kept) == count:
            break
        content = one.content
        if content not in seen:
            seen.add(content)
            kept.append(one)
    return kept
