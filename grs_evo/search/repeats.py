"""Content keys: what tells structures apart, so that none is evaluated twice."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.population.individual import Individual
from grs_evo.structures.structure import Structure, content_hash

Keys = NDArray[np.uint64]


class Repeats:
    """The keys that a generation must not make again: those of before, and its own as they come.

    Parameters
    ----------
    known : keys of before, sorted; with `refuse` False neither these nor the new ones are refused
    """

    def __init__(self, known: Keys, refuse: bool = True) -> None:
        self._known, self._refuse = known, refuse
        self._new: set[int] = set()
        self._order: list[int] = []

    def __contains__(self, key: int) -> bool:
        return self._refuse and (key in self._new or contains(self._known, key))

    def add(self, key: int) -> None:
        """Refuse this key from now on."""
        self._new.add(key)
        self._order.append(key)

    def add_for_later(self, key: int) -> None:
        """Refuse this key in later generations, but not yet in this one."""
        self._order.append(key)

    @property
    def known(self) -> Keys:
        """Those of before, sorted."""
        return self._known

    @property
    def refused(self) -> tuple[int, ...]:
        """Those that came since and are not wanted again."""
        return tuple(self._new)

    @property
    def new_keys(self) -> Keys:
        """Everything added, oldest first."""
        return np.array(self._order, np.uint64)


def content_key(structure: Structure, species_only: bool) -> int:
    """64 bits that tell structures apart; on one lattice the species say all."""
    if species_only:
        digest = blake2b(structure.species.tobytes(), digest_size=8)
        digest.update(structure.cell.tobytes())
        return int.from_bytes(digest.digest(), "little")
    return int(content_hash(structure), 16)


def content_keys(individuals: Sequence[Individual], species_only: bool) -> Keys:
    """(n,) the keys of some individuals, in their order."""
    return np.array([content_key(one.structure, species_only) for one in individuals], np.uint64)


def contains(sorted_keys: Keys, key: int) -> bool:
    """Whether a key is among some that are sorted."""
    k = int(sorted_keys.searchsorted(np.uint64(key)))
    return k < len(sorted_keys) and int(sorted_keys[k]) == key


def newest(keys: Keys, most: int) -> Keys:
    """The last `most` keys."""
    return keys[max(0, len(keys) - most) :]
