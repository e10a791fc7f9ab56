"""All terms by name: those of this package's modules, and those from outside that a run file names."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError, nearest, within
from grs_evo.loss.options import LossOptions
from grs_evo.loss.terms.term import AddedTerm, CompiledTerm, PreparedTerm, Term
from grs_evo.options import line_of
from grs_evo.plugins import entry_points, load
from grs_evo.targets.target import Target

# Names of columns that archives and objectives use for something else.
_TAKEN = ("value", "n_atoms", "cost", "displacements", "elongation")


def _terms() -> Iterator[Term]:
    """The `TERM` of every module below this package."""
    for module in pkgutil.walk_packages([str(Path(__file__).parent)], f"{__package__}."):
        if module.name != __name__ and not module.ispkg:
            found = getattr(importlib.import_module(module.name), "TERM", None)
            if isinstance(found, Term):
                yield found


_ALL = tuple(_terms())
# In the order of the compiled code's columns.
COMPILED: tuple[CompiledTerm, ...] = tuple(
    sorted((one for one in _ALL if isinstance(one, CompiledTerm)), key=lambda one: one.column)
)
TERMS: tuple[str, ...] = tuple(one.name for one in COMPILED)
# Those of this package with their own code, which `loss.terms` names without a module.
ADDED: dict[str, AddedTerm] = {
    one.name: one for one in sorted(_ALL, key=lambda one: one.name) if isinstance(one, AddedTerm)
}


def find(name: str) -> AddedTerm:
    """A term by its name, that of an entry point, or by ``module:variable``.

    Raises
    ------
    InputError
        There is no such term, module or variable; or it is no AddedTerm, or has the name of another column.
    """
    if name in ADDED:
        return ADDED[name]
    if ":" not in name and name not in entry_points("terms"):
        listed = ", ".join([*ADDED, *entry_points("terms"), "module:variable"])
        raise InputError(f"loss.terms: {name!r} is no term; allowed are {listed}{nearest(name, ADDED)}")
    found: AddedTerm = load("terms", name, AddedTerm, "loss.terms").value
    if found.name in (*TERMS, *_TAKEN, *ADDED) or not found.name.isidentifier():
        raise InputError(
            f"loss.terms: {name!r} calls itself {found.name!r}; its name must be a word of letters, digits and _ that"
            f" no other column has ({', '.join((*TERMS, *_TAKEN, *ADDED))})"
        )
    return found


def chosen(options: LossOptions) -> tuple[PreparedTerm, ...]:
    """The terms that `loss.terms` names, with their options, in the order of their names; weights of 0 left out.

    Raises
    ------
    InputError
        An unknown term, options that it does not take, or two terms of one name.
    """
    found: dict[str, PreparedTerm] = {}
    for key, given in options.terms.items():
        term = find(key)
        values = {"weight": given} if isinstance(given, int | float) else given
        with within(f"loss.terms.{key}"):
            try:
                one = PreparedTerm(term, term.options.model_validate(values))
            except ValidationError as error:
                raise InputError(line_of(error, values, term.options)) from None
        if term.name in found:
            raise InputError(f"loss.terms: {key!r} is a second term with the name {term.name!r}")
        found[term.name] = one
    return tuple(found[name] for name in sorted(found) if found[name].weight != 0)


def prepared(given: tuple[PreparedTerm, ...], basis: Basis, target: Target) -> tuple[PreparedTerm, ...]:
    """The same terms, ready for a target.

    Raises
    ------
    InputError
        The target lacks what a term reads.
    """
    ready = []
    for one in given:
        lacks = _lacks(one.term, target)
        if lacks is not None:
            raise InputError(f"loss.terms: {one.term.name} {lacks}")
        ready.append(PreparedTerm(one.term, one.options, one.term.prepare(basis, target, one.options)))
    return tuple(ready)


def _lacks(term: Term, target: Target) -> str | None:
    if term.needs_covariance and target.moments.covariance_sums is None:
        return "needs the target's covariance; make it with `grs-evo target --covariance` (covariance=True in Python)"
    if term.target == "environments" and not len(target.sample_rows):
        return "needs environments of the target, and this target keeps none"
    if term.target == "structures" and not target.structures:
        return "needs the structures of the target, and this target came without them"
    return None


def needs_covariance(options: LossOptions) -> bool:
    """Whether a target for these options must hold the full covariance."""
    compiled = any(one.needs_covariance and one.kept(options) for one in COMPILED)
    return compiled or any(one.term.needs_covariance for one in chosen(options))


def weights(options: LossOptions) -> dict[str, float]:
    """With what weight each term enters the value (eqs. 13–16); below 0 where the search makes the term larger."""
    return {
        **{one.name: float(one.weight(options)) for one in COMPILED},
        **{one.term.name: one.weight for one in chosen(options)},
    }


@dataclass(frozen=True)
class TermFacts:
    """What is told of a column of terms."""

    meaning: str
    unit: str
    weight: float | None  # as the run file gives it; None: it has none


def facts(names: tuple[str, ...], options: LossOptions | None = None) -> dict[str, TermFacts]:
    """What the named terms are, as far as they are known here.

    Parameters
    ----------
    options : of the run, which name terms from outside; those that cannot be imported here are said to be such
    """
    loss = options if options is not None else LossOptions()
    known = {one.name: TermFacts(one.meaning, one.unit, one.given(loss)) for one in COMPILED}
    known |= {one.name: TermFacts(one.meaning, one.unit, None) for one in ADDED.values()}
    outside = ", ".join(key for key in loss.terms if ":" in key)
    with contextlib.suppress(InputError):
        known |= {one.term.name: TermFacts(one.term.meaning, one.term.unit, one.weight) for one in chosen(loss)}
    other = TermFacts(f"from outside the package ({outside})", "", None)
    return {name: known.get(name, other) for name in names if name in known or outside}


def source_digest(options: LossOptions) -> str:
    """Of the source of every module outside this package that terms come from; empty where there are none."""
    digest = hashlib.blake2b(digest_size=8)
    names = sorted(key for key in options.terms if ":" in key)
    for key in names:
        module = importlib.import_module(key.partition(":")[0])
        digest.update(key.encode())
        try:
            digest.update(inspect.getsource(module).encode())
        except (OSError, TypeError):  # typed in, or compiled: nothing to compare
            digest.update(b"no source")
    return digest.hexdigest() if names else ""
