"""What a term of the loss says of itself: a record, of terms compiled into the kernels or with their own code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Literal

from pydantic import Field

from grs_evo.kernels.lattice.clusters import ClusterTables
from grs_evo.loss.options import LossOptions
from grs_evo.options import Options
from grs_evo.plugins import Answer

# What of the target a term is compared with. "covariance": the target must be made with it; "environments": descriptor
# rows that the target keeps as a sample; "structures": positions and cells, which stored targets may lack.
Reads = Literal["nothing", "moments", "covariance", "environments", "structures"]
# What of a candidate the code of a term is given.
Takes = Literal["rows", "pairs", "positions"]


class TermOptions(Options):
    """Options of one term in `loss.terms`; terms with more of them have a class that derives from this."""

    weight: float = Field(1.0, description="weight of the term in V_eff, negative to make it larger [1]")


@dataclass(frozen=True)
class Term:
    """What every term has."""

    name: str  # of its column in archives, and `best_<name>` in histories
    meaning: str  # for report and documentation, without a full stop
    unit: str
    target: Reads  # what it reads of the target

    @property
    def needs_covariance(self) -> bool:
        """Whether the target must hold the full covariance of its functions."""
        return self.target == "covariance"


@dataclass(frozen=True)
class CompiledTerm(Term):
    """A term whose value and slope are in `kernels.loss`."""

    column: int  # of the compiled code's row of terms
    option: str  # where [loss] gives its weight
    given: Callable[[LossOptions], float | None]  # its weight as the run file gives it; None: it has none
    weight: Callable[[LossOptions], float]  # with what weight it enters V_eff in all (eqs. 13–16)
    kept: Callable[[LossOptions], bool]  # whether there is a column of it


@dataclass(frozen=True)
class AddedTerm(Term):
    """A term with its own code, in Python or compiled by Numba; V_eff gets weight × value.

    Attributes
    ----------
    takes : what `value` is given of a candidate

        rows: ``value(rows, species, gradient, slopes, state)`` with the compact descriptor rows (n_atoms, max_size):
        row i holds the functions of atom i's element in its first entries; slopes, of the same shape, are dV/drows

        pairs: ``value(species, first, second, distances, gradient, slopes, state)`` with all pairs of atoms nearer than
        the basis's cutoff, each listed from both of its ends, periodic images too: numbers of the two atoms and their
        distance in Å, all (n_pairs,); slopes are dV/dr in 1/Å, each entry taken as a variable of its own

        positions: ``value(positions, cell, species, pbc, gradient, slopes, strain, state)`` with positions (n_atoms, 3)
        and cell (rows are vectors) in Å; slopes (n_atoms, 3) are dV/dR in 1/Å, strain (3, 3) is dV/dε under
        R → R (1 + ε)ᵀ. These are derivatives; forces and virial are minus them.
    value : returns the value, to be made smaller; where `gradient` is true it writes the derivatives into arrays that
        it is given full of zeros. It must not keep or change any other argument. A value or slope that is not finite
        marks the structure as one that cannot be evaluated.
    prepare : ``prepare(basis, target, options)`` makes the state, once for each target; may raise InputError
    options : class of what the run file may say besides the weight
    on_sites : ``on_sites(template, weight, state)`` makes the tables by which compiled searches on fixed sites follow
        the term; None: such sites are evaluated one structure at a time
    report : ``report(structure, elements, source, state)`` gives rows of named plain values for `grs-evo score`
    """

    takes: Takes
    value: Callable[..., float]
    prepare: Callable[..., Any]
    options: type[TermOptions] = TermOptions
    on_sites: Callable[..., ClusterTables] | None = None
    report: Callable[..., list[dict[str, Any]]] | None = None

    ANSWERS: ClassVar[Mapping[str, Answer]] = {
        "value": Answer("a number", lambda value, *_: isinstance(value, Real)),
        "prepare": Answer("the state of the term", lambda *_: True),
        "on_sites": Answer("ClusterTables", lambda tables, *_: isinstance(tables, ClusterTables)),
        "report": Answer(
            "a list of dicts",
            lambda rows, *_: isinstance(rows, list) and all(isinstance(row, dict) for row in rows),
        ),
    }


@dataclass(frozen=True, eq=False)
class PreparedTerm:
    """A term with its own code, ready to be evaluated against one target."""

    term: AddedTerm
    options: TermOptions
    state: Any = None  # what `prepare` made

    @property
    def weight(self) -> float:
        return self.options.weight
