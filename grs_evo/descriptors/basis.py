"""The descriptor basis: which functions there are, in which order, with which radial parameters.

`build_basis` makes the complete independent set for given ranks, radial and angular limits; `yace.read_yace` makes one
from a file. Both give a frozen `Basis`, which names every column of the descriptor matrix.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.angular import count_functions, coupling_work, independent_couplings
from grs_evo.descriptors.coupling import Label
from grs_evo.descriptors.options import (
    PairTable,
    check_radial,
    checked_elements,
    checked_limits,
    default_cutoffs,
    pair_table,
)
from grs_evo.descriptors.program import Mixing, Program, cached_program
from grs_evo.errors import InputError
from grs_evo.text import Shown

# What sets up within a minute on one core: functions per element, a function of rank 5 or 6 being worth two or three
# of lower rank, and coupling coefficients compared to find the independent functions among equal labels.
_MOST_FUNCTIONS = 12_000
_WORTH = (1, 1, 1, 1, 2, 3)
_MOST_COUPLINGS = 1e9

PAIR_TABLES = ("cutoff", "lam", "cutoff_in", "taper_in", "taper")


@dataclass(frozen=True, eq=False)
class Basis(Shown):
    """Functions and radial parameters of every central element. [central, neighbour] indexes the pair tables."""

    elements: tuple[str, ...]
    cutoff: NDArray[np.float64]  # (n_el, n_el) Å
    lam: NDArray[np.float64]  # (n_el, n_el) λ of the exponential distance scaling, dimensionless
    cutoff_in: NDArray[np.float64]  # (n_el, n_el) Å, inner cutoff; 0 is none
    taper_in: NDArray[np.float64]  # (n_el, n_el) Å, functions rise from 0 on (cutoff_in − taper_in, cutoff_in)
    taper: NDArray[np.float64]  # (n_el, n_el) Å, extra fall to 0 in the last bit before the cutoff
    n_of_l: tuple[int, ...]  # number of radial functions needed for each l
    labels: tuple[tuple[Label, ...], ...]  # coupling trees per central element, rank 1 first
    mixing: tuple[Mixing | None, ...]  # how functions are made of the trees; None: each tree is a function
    coefficients: tuple[NDArray[np.float64], ...] | None = None  # per element (n_functions,): linear potential, eV
    e0: tuple[float, ...] | None = None  # eV per atom of each element, the linear potential's constant

    def __post_init__(self) -> None:
        for name in PAIR_TABLES:
            array = np.array(getattr(self, name), dtype=np.float64, order="C")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        low, high = self.cutoff.min(), self.cutoff.max()
        reach = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        ranks = max((len(label.ns) for labels in self.labels for label in labels), default=0)
        potential = ", a potential" if self.coefficients is not None else ""
        elements = "-".join(self.elements)
        return f"Basis({self.n_desc} functions of {elements}, ranks to {ranks}, cutoff {reach} Å{potential})"

    @property
    def n_elements(self) -> int:
        return len(self.elements)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Functions per central element."""
        return tuple(
            len(labels) if mixing is None else mixing.n_functions
            for labels, mixing in zip(self.labels, self.mixing, strict=True)
        )

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First column of each element's block in the wide matrix."""
        return tuple(int(k) for k in np.concatenate([[0], np.cumsum(self.sizes)[:-1]]))

    @property
    def n_desc(self) -> int:
        return sum(self.sizes)

    def columns(self, element: int) -> slice:
        """The columns of one central element's functions in the wide matrix."""
        return slice(self.offsets[element], self.offsets[element] + self.sizes[element])

    def terms(self, element: int) -> list[list[tuple[Label, float]]]:
        """How each function of a central element is made: [(tree, weight), …], empty for one that is always 0.

        The trees of one function share μ, n and l and differ in their couplings L.
        """
        labels, mixing = self.labels[element], self.mixing[element]
        if mixing is None:
            return [[(label, 1.0)] for label in labels]
        out: list[list[tuple[Label, float]]] = [[] for _ in range(mixing.n_functions)]
        for function, which, weight in zip(mixing.function, mixing.tree, mixing.weight, strict=True):
            out[function].append((labels[which], float(weight)))
        return out

    @property
    def n_a(self) -> int:
        """Rows of A per atom."""
        return self.n_elements * sum(n * (2 * l + 1) for l, n in enumerate(self.n_of_l))

    @cached_property
    def programs(self) -> tuple[Program, ...]:
        """The bilinear program of each central element; elements with the same functions share one."""
        made: dict[str, Program] = {}
        out = []
        for labels, mixing in zip(self.labels, self.mixing, strict=True):
            key = _digest(_plain_labels(labels), _plain_mixing(mixing))
            if key not in made:
                made[key] = cached_program(labels, mixing, self.n_of_l, self.n_elements)
            out.append(made[key])
        return tuple(out)

    @cached_property
    def hash(self) -> str:
        """16 hex digits over all that determines descriptor values (not the potential's coefficients)."""
        return _digest(
            list(self.elements),
            [getattr(self, name).tolist() for name in PAIR_TABLES],
            list(self.n_of_l),
            [_plain_labels(labels) for labels in self.labels],
            [_plain_mixing(mixing) for mixing in self.mixing],
        )

    def to_text(self) -> str:
        """The basis as JSON text from which `from_text` rebuilds it exactly."""
        distinct: list[list[Any]] = []
        which = []
        for labels, mixing in zip(self.labels, self.mixing, strict=True):
            block = [_plain_labels(labels), _plain_mixing(mixing)]
            if block not in distinct:
                distinct.append(block)
            which.append(distinct.index(block))
        return json.dumps(
            {
                "format": "grs_evo basis",
                "schema": 1,
                "elements": list(self.elements),
                **{name: getattr(self, name).tolist() for name in PAIR_TABLES},
                "n_of_l": list(self.n_of_l),
                "blocks": distinct,
                "block_of_element": which,
                "coefficients": None if self.coefficients is None else [c.tolist() for c in self.coefficients],
                "e0": None if self.e0 is None else list(self.e0),
                "hash": self.hash,
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_text(cls, text: str) -> Basis:
        """Rebuild a basis from `to_text`. Raises InputError when the text is something else or was changed."""
        try:
            data = json.loads(text)
            if data["format"] != "grs_evo basis" or data["schema"] != 1:
                raise InputError(f"basis description: format {data['format']!r} schema {data['schema']} is not known")
            labels, mixing = [], []
            for mu0, k in enumerate(data["block_of_element"]):
                plain_labels, plain_mixing = data["blocks"][k]
                labels.append(tuple(Label(mu0, *(tuple(part) for part in label)) for label in plain_labels))
                mixing.append(
                    None
                    if plain_mixing is None
                    else Mixing(
                        plain_mixing[0],
                        np.array(plain_mixing[1], dtype=np.int32),
                        np.array(plain_mixing[2], dtype=np.int32),
                        np.array(plain_mixing[3], dtype=np.float64),
                    )
                )
            basis = cls(
                tuple(data["elements"]),
                **{name: np.array(data[name], dtype=np.float64) for name in PAIR_TABLES},
                n_of_l=tuple(data["n_of_l"]),
                labels=tuple(labels),
                mixing=tuple(mixing),
                coefficients=None if data["coefficients"] is None else tuple(map(np.array, data["coefficients"])),
                e0=None if data["e0"] is None else tuple(data["e0"]),
            )
            wanted = data["hash"]
        except (KeyError, TypeError, IndexError, json.JSONDecodeError) as error:
            raise InputError(f"basis description: cannot be read ({type(error).__name__}: {error})") from error
        if basis.hash != wanted:
            raise InputError(f"basis description: its content has hash {basis.hash}, it says {wanted}; it was changed")
        return basis


def build_basis(
    elements: Sequence[str],
    n_max: Sequence[int] | int = (8, 2, 2, 1),
    l_max: Sequence[int] | int = (0, 2, 2, 1),
    cutoff: PairTable = None,
    lam: PairTable = None,
    cutoff_in: PairTable = None,
    taper_in: PairTable = 0.01,
    taper: PairTable = 0.01,
) -> Basis:
    """The complete independent set of ACE functions up to a rank (Goff et al. 2024; method §2).

    Parameters
    ----------
    elements : symbols; their order is the order of the descriptor blocks
    n_max, l_max : radial functions and highest l for ranks 1, 2, …, a number alone is rank 1; the defaults are the
        paper's
    cutoff : Å; one number, an array (n_el, n_el), or {"Au-Cu": …} or {("Au", "Cu"): …} per ordered pair
        central–neighbour, of which the other order is filled in. Default: sum of the van der Waals diameters, twice the
        covalent radius where one is not tabulated
    lam : λ of the distance scaling, dimensionless; default 0.05 times the pair's cutoff in Å
    cutoff_in, taper_in : Å, inner cutoff (default none) and the width below it over which the functions rise
    taper : Å, width of the extra fall to zero before the cutoff (LAMMPS's ``dcut``)

    Raises
    ------
    InputError
        Unknown or repeated element, lengths or values out of range, a pair without a value.
    """
    elements = checked_elements(elements)
    n_max, l_max = checked_limits(n_max, l_max)
    cutoffs = pair_table(default_cutoffs(elements) if cutoff is None else cutoff, elements, "cutoff", "Å", low=0.0)
    lams = pair_table(0.05 * cutoffs if lam is None else lam, elements, "lam", "", low=0.0)
    inner = pair_table(0.0 if cutoff_in is None else cutoff_in, elements, "cutoff_in", "Å")
    inner_widths = pair_table(0.01 if taper_in is None else taper_in, elements, "taper_in", "Å", low=0.0)
    widths = pair_table(0.01 if taper is None else taper, elements, "taper", "Å", low=0.0)
    check_radial(elements, cutoffs, lams, inner, inner_widths, widths, "basis")
    n_elements = len(elements)
    _check_size(n_elements, n_max, l_max)
    first = _complete_set(n_elements, n_max, l_max)
    n_of_l = tuple(
        max(n for rank, (n, top) in enumerate(zip(n_max, l_max, strict=True)) if l <= (top if rank else 0))
        for l in range(max((0, *l_max[1:])) + 1)
    )
    labels = tuple(tuple(label._replace(mu0=mu0) for label in first) for mu0 in range(n_elements))
    return Basis(elements, cutoffs, lams, inner, inner_widths, widths, n_of_l, labels, (None,) * n_elements)


def _check_size(n_elements: int, n_max: Sequence[int], l_max: Sequence[int]) -> None:
    """Refuse what would take minutes to set up, from counts that take none."""
    limits = list(enumerate(zip(n_max, l_max, strict=True), start=1))
    counts = [count_functions(n_elements * n, rank, l) for rank, (n, l) in limits]
    settings = f"n_max = {list(n_max)}, l_max = {list(l_max)} with {n_elements} element{'s' if n_elements > 1 else ''}"
    shares = [count * worth / _MOST_FUNCTIONS for count, worth in zip(counts, _WORTH, strict=False)]
    if sum(shares) > 1.0:
        rank = 1 + int(np.argmax(shares))
        raise InputError(
            f"{settings} make {sum(counts):.6g} functions per element, {counts[rank - 1]:.6g} of them of rank {rank};"
            f" at most {_MOST_FUNCTIONS} are allowed, one of rank 5 or 6 counted as 2 or 3: lower n_max or l_max of"
            f" rank {rank}"
        )
    work = 0.0
    for rank, (n, l) in limits:
        work += coupling_work(n_elements * n, rank, l, most=_MOST_COUPLINGS)
        if work > _MOST_COUPLINGS:
            raise InputError(
                f"{settings} make {counts[rank - 1]} functions of rank {rank}, which are found among more than"
                f" {_MOST_COUPLINGS:.0e} coupling coefficients, the most allowed: lower l_max of rank {rank}"
            )


def _complete_set(n_elements: int, n_max: Sequence[int], l_max: Sequence[int]) -> list[Label]:
    """Labels in the order of FitSNAP's files: rank, then l, n, μ, L lexicographically.

    FitSNAP writes the factors of a function in the order (μ, l, n) up to rank 3 and (l, μ, n) above.
    """
    labels = []
    for rank, (n_top, l_top) in enumerate(zip(n_max, l_max, strict=True), start=1):
        factors = [
            (l, mu, n)
            for l in range((l_top if rank > 1 else 0) + 1)
            for mu in range(n_elements)
            for n in range(1, n_top + 1)
        ]
        if rank <= 3:
            factors.sort(key=lambda factor: (factor[1], factor[0], factor[2]))
        for block in combinations_with_replacement(factors, rank):
            ls, mus, ns = (tuple(part) for part in zip(*block, strict=True))
            for Ls in independent_couplings(ls, tuple(block.index(factor) for factor in block)):
                labels.append(Label(0, mus, ns, ls, Ls))
    labels.sort(key=lambda label: (len(label.ls), label.ls, label.ns, label.mus, label.Ls))
    return labels


# ---------------------------------------------------------------------------------------------------------------------
# text


def format_labels(basis: Basis) -> str:
    """A table of all functions: column in the descriptor matrix, rank, factors as element n l, and couplings L.

    Functions of a file that are combinations or multiples of trees show their weights.
    """
    lines = []
    for mu0, element in enumerate(basis.elements):
        reach = ", ".join(f"{other} {basis.cutoff[mu0, k]:g}" for k, other in enumerate(basis.elements))
        lines.append(f"central element {element}: {basis.sizes[mu0]} functions; cutoff to {reach} Å")
        for k, parts in enumerate(basis.terms(mu0)):
            column = basis.offsets[mu0] + k
            if not parts:
                lines.append(f"{column:6d}  zero")
                continue
            first = parts[0][0]
            factors = "  ".join(
                f"{basis.elements[mu]} n={n} l={l}" for mu, n, l in zip(first.mus, first.ns, first.ls, strict=True)
            )
            tail = ""
            if any(label.Ls for label, _ in parts) or any(weight != 1.0 for _, weight in parts):
                tail = "  | " + " ".join(
                    ("" if weight == 1.0 else f"{weight:+.6g} ") + f"L=({','.join(map(str, label.Ls))})"
                    for label, weight in parts
                )
            lines.append(f"{column:6d}  rank {len(first.ls)}  {factors}{tail}")
    return "\n".join(lines)


def _plain_labels(labels: Sequence[Label]) -> list[list[list[int]]]:
    return [[list(part) for part in label[1:]] for label in labels]


def _plain_mixing(mixing: Mixing | None) -> list[Any] | None:
    if mixing is None:
        return None
    return [mixing.n_functions, mixing.function.tolist(), mixing.tree.tolist(), mixing.weight.tolist()]


def _digest(*content: Any) -> str:
    return hashlib.blake2b(json.dumps(content, separators=(",", ":")).encode(), digest_size=8).hexdigest()
