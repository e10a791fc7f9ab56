"""An island between two generations, and the same as flat arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.search.counters import COUNTERS, STAT_NAMES
from grs_evo.search.operators.table import operator_names
from grs_evo.search.population.individual import Individual, pack, unpack

_N_RNG_WORDS = 6


_MASK64 = (1 << 64) - 1


@dataclass(frozen=True, eq=False)
class IslandState:
    """One island between two generations. `from_arrays(state.to_arrays())` is the same state, bit for bit."""

    island: int
    generation: int
    population: tuple[Individual, ...]
    archive: tuple[Individual, ...]
    rng_state: NDArray[np.uint64]  # (6,) PCG64
    counters: NDArray[np.int64]  # (len(COUNTERS),)
    tries: NDArray[np.int64]  # (n_operators,), in the order of `operator_names()`
    successes: NDArray[np.int64]  # (n_operators,)
    next_uid: int
    # (n_rows, n_stats) named by stat_names; one row per generation, of long runs every 2^k-th
    history: NDArray[np.float64]
    outbox: tuple[tuple[int, tuple[Individual, ...]], ...] = ()  # (generation of emission, emigrants), oldest first
    seen: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    walk: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    rates: NDArray[np.float64] = field(default_factory=lambda: np.ones(len(operator_names())))  # (n_operators,)
    stale: int = 0  # generations in a row with too little diversity

    @property
    def n_terms(self) -> int:
        return int(self.history.shape[1]) - len(STAT_NAMES) - len(self.tries) - len(self.successes)

    def counter(self, name: str) -> int:
        return int(self.counters[COUNTERS.index(name)])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Fixed dtypes, no objects; the same keys for every island, ragged along axis 0 only."""
        emigrants = [one for _, batch in self.outbox for one in batch]
        arrays: dict[str, NDArray[Any]] = {
            "island": np.array([self.island], np.int64),
            "generation": np.array([self.generation], np.int64),
            "next_uid": np.array([self.next_uid], np.int64),
            "stale": np.array([self.stale], np.int64),
            "rng_state": self.rng_state,
            "counters": self.counters,
            "tries": self.tries,
            "successes": self.successes,
            "rates": self.rates,
            "history": self.history,
            "seen": self.seen,
            "outbox_generations": np.array([g for g, _ in self.outbox], np.int64),
            "outbox_sizes": np.array([len(batch) for _, batch in self.outbox], np.int64),
        }
        for prefix, individuals in (("population", self.population), ("archive", self.archive), ("outbox", emigrants)):
            for name, column in pack(individuals, self.n_terms).items():
                arrays[f"{prefix}.{name}"] = column
        arrays.update(_pack_named(self.walk))
        return arrays

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> IslandState:
        """The inverse of `to_arrays`.

        Raises
        ------
        InputError
            The state was packed where other operators were registered.
        """
        counted, known = len(arrays["tries"]), operator_names()
        if counted != len(known):
            raise InputError(
                f"island {int(arrays['island'][0])}: its state counts {counted} operators, but there are {len(known)} "
                f"({', '.join(known)}); register those that the run began with"
            )

        def individuals(prefix: str) -> list[Individual]:
            start = prefix + "."
            return unpack({name[len(start) :]: column for name, column in arrays.items() if name.startswith(start)})

        emigrants = iter(individuals("outbox"))
        outbox = tuple(
            (int(generation), tuple(next(emigrants) for _ in range(int(size))))
            for generation, size in zip(arrays["outbox_generations"], arrays["outbox_sizes"], strict=True)
        )
        return IslandState(
            island=int(arrays["island"][0]),
            generation=int(arrays["generation"][0]),
            population=tuple(individuals("population")),
            archive=tuple(individuals("archive")),
            rng_state=np.array(arrays["rng_state"], np.uint64),
            counters=np.array(arrays["counters"], np.int64),
            tries=np.array(arrays["tries"], np.int64),
            successes=np.array(arrays["successes"], np.int64),
            next_uid=int(arrays["next_uid"][0]),
            history=np.array(arrays["history"], np.float64),
            outbox=outbox,
            seen=np.array(arrays["seen"], np.uint64),
            walk=_unpack_named(arrays),
            rates=np.array(arrays["rates"], np.float64),
            stale=int(arrays["stale"][0]),
        )


def rng_to_array(rng: np.random.Generator) -> NDArray[np.uint64]:
    """The state of a PCG64 generator as (6,) words."""
    state = rng.bit_generator.state
    inner = state["state"]
    words = (
        inner["state"] & _MASK64,
        inner["state"] >> 64,
        inner["inc"] & _MASK64,
        inner["inc"] >> 64,
        state["has_uint32"],
        state["uinteger"],
    )
    return np.array(words, dtype=np.uint64)


def rng_from_array(words: NDArray[np.uint64]) -> np.random.Generator:
    """A generator that goes on where the packed one stood."""
    low, high, inc_low, inc_high, has_uint32, uinteger = (int(word) for word in words[:_N_RNG_WORDS])
    bits = np.random.PCG64(0)
    bits.state = {
        "bit_generator": "PCG64",
        "state": {"state": low | high << 64, "inc": inc_low | inc_high << 64},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
    return np.random.Generator(bits)


def _pack_named(named: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays of any name, dtype and shape as a few flat ones, since storage wants the same keys for all islands."""
    names = sorted(named)
    arrays = [np.ascontiguousarray(named[name]) for name in names]
    return {
        "walk.names": np.array([name.encode() for name in names], dtype="S32"),
        "walk.dtypes": np.array([array.dtype.str.encode() for array in arrays], dtype="S8"),
        "walk.shapes": np.array([(named[n].shape + (-1,) * 4)[:4] for n in names], np.int64).reshape(-1, 4),
        "walk.bytes": np.array(bytearray(b"".join(array.tobytes() for array in arrays)), np.uint8),
    }


def _unpack_named(packed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    named, start = {}, 0
    buffer = np.ascontiguousarray(packed["walk.bytes"]).tobytes()
    for name, dtype, shape in zip(packed["walk.names"], packed["walk.dtypes"], packed["walk.shapes"], strict=True):
        dims = tuple(int(size) for size in shape if size >= 0)
        kind = np.dtype(bytes(dtype).decode())
        count = int(np.prod(dims, dtype=np.int64))
        end = start + count * kind.itemsize
        named[bytes(name).decode()] = (
            np.array(memoryview(buffer[start:end]).cast("B"), np.uint8).view(kind).reshape(dims)
        )
        start = end
    return named
