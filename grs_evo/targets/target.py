"""What candidates are compared with: the moments of one structure, of many, of a random alloy, or stored before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.describe import describe_compact
from grs_evo.errors import InputError, expect
from grs_evo.structures.neighbours import check_reach
from grs_evo.structures.reading import as_entries
from grs_evo.structures.structure import Structure, as_structure, ase_of, is_atoms
from grs_evo.targets import sampling
from grs_evo.targets.chunks import Worker, jobs_of, parts_of
from grs_evo.targets.clusters import AlloySites
from grs_evo.targets.moments import Moments, merge, merge_all, moments_of
from grs_evo.targets.overlap import check_overlap, described, overlap_reach
from grs_evo.targets.random_alloy import expected_descriptors, site_fractions
from grs_evo.targets.short_range_order import alloy_cells
from grs_evo.text import Shown

# Environments kept by a target to draw from: for the sampling noise, histograms and projections.
SAMPLE = 4096


@dataclass(frozen=True, eq=False)
class Target(Shown):
    """A distribution of environments in one basis."""

    moments: Moments
    basis_hash: str
    basis_facts: Mapping[str, Any]  # what a refusal can name: elements, functions per element, cutoffs, λ
    sample_rows: NDArray[np.float64]  # (n_sample, max_size) compact rows
    sample_species: NDArray[np.int32]  # (n_sample,)
    sample_weights: NDArray[np.float64]  # (n_sample,)
    n_atoms: NDArray[np.int64]  # (n_structures,)
    volumes: NDArray[np.float64]  # (n_structures,) Å³; 0 where a structure is not periodic in all directions
    weights: NDArray[np.float64]  # (n_structures,)
    names: tuple[str, ...] = ()  # (n_structures,)
    groups: tuple[str, ...] = ()  # (n_structures,)
    description: str = ""
    mean_is_exact: bool = False  # random alloys: the mean is an expectation, not a sample's
    # (4, n_desc) standard errors of the pooled mean, variance, skewness, kurtosis
    errors: NDArray[np.float64] | None = None
    nearest: float = field(default=float("nan"))  # shortest distance in any of the structures, Å
    basis: Basis | None = field(default=None, repr=False)  # None: made of arrays without it
    # (n_structures,) what it was made of, for losses that read positions; empty: made of arrays without them
    structures: tuple[Structure, ...] = field(default=(), repr=False)
    # (n_structures,) sorted numbers of the atoms whose environments it is made of; empty: of all atoms
    centres: tuple[NDArray[np.int64], ...] = field(default=(), repr=False)
    # of an alloy made by composition: its lattice, for losses that count clusters on it
    alloy: AlloySites | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        elements = "-".join(self.basis_facts.get("elements", ()))
        about = f": {self.description}" if self.description else ""
        return (
            f"Target({len(self.n_atoms)} structures, {self.n_environments:g} environments of {elements}{about[:200]})"
        )

    # -- made of structures or of a composition -----------------------------------------------------------------------

    @staticmethod
    def from_structures(
        structures: Any,
        basis: Basis,
        weights: Sequence[float] | None = None,
        names: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        covariance: bool = False,
        sample: int = SAMPLE,
        description: str = "",
        threads: int = 1,
        worker: Worker | None = None,
        centres: Sequence[NDArray[np.int64]] = (),
    ) -> Target:
        """The distribution of all environments of some structures.

        Parameters
        ----------
        structures : ase.Atoms, a Structure, the name of a structure file (with an index, ``melt.extxyz@0:100:10``),
            what `read_structures` gives, or an iterable of these
        weights : weight of every environment of each structure, 0 to leave it out; default those of
            `read_structures`, else 1, so that environments count alike
        names : how messages call each structure; default its place in its file, else ``structure 0``, …
        groups : a group name of each structure, kept for reports; default those of `read_structures`
        covariance : keep the full covariance of each element's functions too
        sample : most environments that are kept (spread evenly over all of them, by weight)
        threads : threads that share structures of more than 2,048 atoms; the result does not depend on it
        worker : who describes these instead, such as all ranks of a run
        centres : of each structure the sorted numbers of the atoms whose environments count; none: all

        Raises
        ------
        InputError
            No structures, a weight below 0, an element outside the basis, atoms that overlap; an argument of
            another kind (WrongType).
        """
        call = "Target.from_structures(structures, basis)"
        expect(basis, Basis, "basis", call)
        given = _given(structures, basis, weights, names, groups, centres, call)
        found, n_atoms = given.structures, np.array([one.n_atoms for one in given.structures], np.int64)
        n_own = np.array([len(own) for own in given.centres], np.int64) if given.centres else n_atoms
        jobs = jobs_of(*given[:3], given.centres, sample, basis, covariance, overlap_reach(basis))
        total, rows, species, nearest = described(jobs, basis, covariance, worker or partial(parts_of, threads=threads))
        _check_finite(total, basis)
        sample_weights = (
            np.repeat(given.weights, n_own) if len(rows) == n_own.sum() else np.ones(len(rows))
        )  # all kept: their own weights; else the draw was by weight already
        return Target(
            moments=total,
            basis_hash=basis.hash,
            basis_facts=basis_facts(basis),
            sample_rows=rows,
            sample_species=species,
            sample_weights=sample_weights,
            n_atoms=n_atoms,
            volumes=np.array([one.volume if one.pbc.all() else 0.0 for one in found]),
            weights=given.weights,
            names=given.names,
            groups=given.groups,
            description=description or _describe(given.names),
            nearest=nearest,
            basis=basis,
            structures=found,
            centres=given.centres,
        )

    @staticmethod
    def random_alloy(
        lattice: Any,
        basis: Basis,
        composition: Mapping[str, float] | Sequence[Mapping[str, float]],
        samples: int = SAMPLE,
        seed: int = 0,
        covariance: bool = False,
        order: Mapping[str, Sequence[float]] | None = None,
    ) -> Target:
        """An alloy: every site of an ideal lattice is occupied independently of all others, or with a given order.

        The mean is the exact expectation over all occupations (unless the basis is too large for it: see
        `mean_is_exact`). Variance, skewness, kurtosis and covariance, and the kept environments, come from cells
        occupied at random; `errors` holds their standard errors, and 0 for an exact mean.

        Parameters
        ----------
        lattice : Structure or ase.Atoms: the sites of one cell; its elements are ignored
        composition : fraction of each element, for all sites or one mapping per site; sums to 1
        samples : environments to draw, at least
        seed : of the random occupations
        order : Warren–Cowley orders α = 1 − p_AB / (c_A c_B) that are wanted, by pair of elements, from the first shell
            outwards; other pairs in the shells that are named have 0. The mean then comes from cells as well, on which
            swaps have made that order

        Raises
        ------
        InputError
            Fractions that do not sum to 1, an element outside the basis, a lattice whose sites overlap, orders that
            cannot be.
        """
        expect(basis, Basis, "basis", "Target.random_alloy(lattice, basis, composition)")
        sites = lattice if isinstance(lattice, Structure) else _bare_sites(lattice)
        fractions = site_fractions(composition, basis.elements, sites.n_atoms)
        sites = sites.replace(species=np.argmax(fractions, axis=1).astype(np.int32))
        check_reach(sites, float(basis.cutoff.max()), "lattice")
        check_overlap(sites, basis, "lattice")
        cells, orders, alloy = alloy_cells(sites, basis, fractions, order or {}, samples, seed)
        listed = ", ".join(f"{e} {x:g}" for e, x in zip(basis.elements, fractions.mean(axis=0), strict=True) if x > 0)
        drawn = Target.from_structures(
            cells,
            basis,
            names=[f"random cell {k}" for k in range(len(cells))],
            covariance=covariance,
            description=f"{'ordered' if len(orders) else 'random'} alloy, {listed}",
        )
        found = drawn.moments
        missing = (found.counts == 0) & (fractions.sum(axis=0) > 0)
        if missing.any():
            element = basis.elements[int(np.argmax(missing))]
            raise InputError(
                f"random alloy: none of {drawn.n_environments} random sites holds {element}"
                f" (fraction {fractions.mean(axis=0)[missing][0]:g}); ask for more samples"
            )
        parts = [moments_of(describe_compact(c, basis), c.species, basis.sizes) for c in cells]
        exact = None if len(orders) else expected_descriptors(sites, basis, fractions)
        known = fractions.mean(axis=0)
        errors = sampling.jackknife(parts, basis.sizes, known, exact)
        moments = sampling.with_expectation(found, known, exact)
        if exact is not None:
            errors[0] = 0.0
        # Stored alloys do not come with these cells; all ranks and a resumed run must know the same.
        return replace(
            drawn, moments=moments, mean_is_exact=exact is not None, errors=errors, structures=(), alloy=alloy
        )

    def merged(self, other: Target, weight: float = 1.0) -> Target:
        """Both distributions together, the other's environments `weight` times as heavy (bootstrap)."""
        if other.basis_hash != self.basis_hash:
            raise InputError("targets of different bases cannot be merged: " + _difference(self, other.basis_facts))
        rows = np.concatenate([self.sample_rows, other.sample_rows])
        species = np.concatenate([self.sample_species, other.sample_species])
        weights = np.concatenate([self._each_sample(), weight * other._each_sample()])
        if len(rows) > SAMPLE:
            picks = sampling.systematic_sample(np.ones(len(rows), dtype=np.int64), weights, SAMPLE)
            rows, species, weights = rows[picks], species[picks], np.full(len(picks), weights.sum() / len(picks))
        return replace(
            self,
            moments=merge(self.moments, other.moments.scaled(weight)),
            sample_rows=rows,
            sample_species=species,
            sample_weights=weights,
            n_atoms=np.concatenate([self.n_atoms, other.n_atoms]),
            volumes=np.concatenate([self.volumes, other.volumes]),
            weights=np.concatenate([self.weights, weight * other.weights]),
            names=(*self.names, *other.names),
            groups=(),
            description=f"{self.description} + {other.description}",
            mean_is_exact=False,
            errors=None,
            nearest=float(np.fmin(self.nearest, other.nearest)),
            structures=(*self.structures, *other.structures) if self.structures and other.structures else (),
            centres=(*self.owned(), *other.owned()) if self.centres or other.centres else (),
            alloy=None,
        )

    def owned(self) -> list[NDArray[np.int64]]:
        """(n_structures,) numbers of the atoms whose environments it is made of."""
        return list(self.centres) if self.centres else [np.arange(n) for n in self.n_atoms]

    def sampled(self) -> NDArray[np.int64]:
        """(n_sample,) numbers, through all structures, of the atoms whose environments are kept; not of merged ones."""
        return sampling.atoms_sampled(self.n_atoms, self.owned(), self.weights, len(self.sample_rows))

    def _each_sample(self) -> NDArray[np.float64]:
        """Weights of the kept environments that add up to the weight of all."""
        weights: NDArray[np.float64] = self.sample_weights * (self.moments.total / self.sample_weights.sum())
        return weights

    # -- what it holds ------------------------------------------------------------------------------------------------

    @property
    def n_environments(self) -> int:
        return int(self.n_atoms.sum())

    @property
    def volume_per_atom(self) -> float:
        """Weighted mean volume per atom in Å³ of the fully periodic structures; NaN when there are none."""
        bulk = self.volumes > 0
        if not bulk.any():
            return float("nan")
        return float((self.weights * self.volumes)[bulk].sum() / (self.weights * self.n_atoms)[bulk].sum())

    @property
    def fractions(self) -> NDArray[np.float64]:
        """(n_elements,) share of each element's environments."""
        return self.moments.counts / self.moments.total

    def own_basis(self) -> Basis:
        """The basis that the target was made with; InputError where it came without it, out of bare arrays."""
        if self.basis is None:
            raise InputError(
                "the target does not hold its basis; make an objective of both: make_objective(basis, target)"
            )
        return self.basis

    def check_basis(self, basis: Basis) -> None:
        """Raise InputError, naming what differs, unless the target was made with this basis."""
        if basis.hash != self.basis_hash:
            raise InputError("the target belongs to another basis: " + _difference(self, basis_facts(basis)))

    # -- as arrays ----------------------------------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays of plain dtypes that hold all of it; text is UTF-8 JSON as uint8."""
        text = {
            "basis_hash": self.basis_hash,
            "basis_facts": dict(self.basis_facts),
            "names": list(self.names),
            "groups": list(self.groups),
            "description": self.description,
            "mean_is_exact": self.mean_is_exact,
            "schema": 1,
        }
        arrays = {f"moments_{key}": value for key, value in self.moments.to_arrays().items()}
        arrays |= {
            "sample_rows": self.sample_rows,
            "sample_species": self.sample_species,
            "sample_weights": self.sample_weights,
            "n_atoms": self.n_atoms,
            "volumes": self.volumes,
            "weights": self.weights,
            "nearest": np.array([self.nearest]),
            "text": np.frombuffer(json.dumps(text, sort_keys=True).encode(), dtype=np.uint8).copy(),
        }
        if self.errors is not None:
            arrays["errors"] = self.errors
        if self.alloy is not None:
            arrays |= self.alloy.to_arrays()
        return arrays | sampling.packed_centres(self.centres)

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]], source: str = "target", basis: Basis | None = None) -> Target:
        """The inverse of `to_arrays`, bit for bit; the arrays do not hold the basis itself."""
        try:
            text = json.loads(bytes(np.asarray(arrays["text"], dtype=np.uint8)).decode())
            if text["schema"] != 1:
                raise InputError(f"{source}: target schema {text['schema']}; this version reads 1")
            prefix = "moments_"
            return Target(
                moments=Moments.from_arrays({k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}),
                basis_hash=text["basis_hash"],
                basis_facts=text["basis_facts"],
                sample_rows=np.array(arrays["sample_rows"], dtype=np.float64),
                sample_species=np.array(arrays["sample_species"], dtype=np.int32),
                sample_weights=np.array(arrays["sample_weights"], dtype=np.float64),
                n_atoms=np.array(arrays["n_atoms"], dtype=np.int64),
                volumes=np.array(arrays["volumes"], dtype=np.float64),
                weights=np.array(arrays["weights"], dtype=np.float64),
                names=tuple(text["names"]),
                groups=tuple(text["groups"]),
                description=text["description"],
                mean_is_exact=bool(text["mean_is_exact"]),
                errors=np.array(arrays["errors"]) if "errors" in arrays else None,
                nearest=float(arrays["nearest"][0]),
                basis=basis,
                alloy=AlloySites.from_arrays(arrays),
                centres=sampling.unpacked_centres(arrays),
            )
        except (KeyError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{source}: is no stored target ({error})") from error


class _Given(NamedTuple):
    """Structures that count, with what is said of each."""

    structures: tuple[Structure, ...]
    weights: NDArray[np.float64]
    names: tuple[str, ...]
    groups: tuple[str, ...]  # empty: none are given
    centres: tuple[NDArray[np.int64], ...]  # empty: of all atoms


def _given(
    structures: Any,
    basis: Basis,
    weights: Sequence[float] | None,
    names: Sequence[str] | None,
    groups: Sequence[str] | None,
    centres: Sequence[NDArray[np.int64]],
    call: str,
) -> _Given:
    """The arguments of `Target.from_structures`, checked; structures of weight 0 are left out."""
    given = as_entries(structures, basis.elements, names, call)
    if not given:
        raise InputError("target: no structures; at least one is needed")
    called = list(names) if names is not None else [one.source for one in given]
    each = np.array([one.weight for one in given] if weights is None else weights, dtype=np.float64)
    if groups is None and any(one.group for one in given):
        groups = [one.group for one in given]
    for what, count in (("weights", len(each)), ("names", len(called)), ("groups", len(groups or given))):
        if count != len(given):
            raise InputError(f"target: {count} {what} for {len(given)} structures")
    for weight, name in zip(each, called, strict=True):
        if not (np.isfinite(weight) and weight >= 0):
            raise InputError(f"target: the weight of {name} is {weight}; it must be > 0, or 0 to leave it out")
    left = np.flatnonzero(each).tolist()
    if not left:
        raise InputError("target: all structures have weight 0; at least one must be left")
    for k in left:
        check_reach(given[k].structure, float(basis.cutoff.max()), called[k])
    return _Given(
        tuple(given[k].structure for k in left),
        each[left],
        tuple(called[k] for k in left),
        () if groups is None else tuple(groups[k] for k in left),
        tuple(centres[k] for k in left) if centres else (),
    )


def _bare_sites(atoms: Any) -> Structure:
    """The sites of some ase.Atoms, whatever elements stand on them."""
    atoms = ase_of(atoms, "lattice")
    symbols = sorted(set(atoms.get_chemical_symbols())) if is_atoms(atoms) else []
    return as_structure(atoms, symbols, "Target.random_alloy(lattice, basis, composition)", "lattice")


def empty_moments(basis: Basis, covariance: bool = False) -> Moments:
    """Moments of no environments in a basis."""
    return merge_all([], basis.sizes, covariance)


def basis_facts(basis: Basis) -> dict[str, Any]:
    """What tells two bases apart in words, as JSON-able values."""
    facts: dict[str, Any] = {
        "elements": list(basis.elements),
        "functions per element": [int(n) for n in basis.sizes],
    }
    for key, name, unit in (
        ("cutoff", "cutoff", "Å"),
        ("lam", "lambda", ""),
        ("cutoff_in", "inner cutoff", "Å"),
        ("taper_in", "inner taper", "Å"),
        ("taper", "outer taper", "Å"),
    ):
        value = getattr(basis, key, None)
        if value is not None:
            facts[f"{name} [{unit}]" if unit else name] = np.asarray(value, dtype=np.float64).tolist()
    return facts


def _difference(target: Target, other: Mapping[str, Any]) -> str:
    for key, value in target.basis_facts.items():
        if key in other and other[key] != value:
            return f"{key} {value} in the target, {other[key]} here"
    return "the functions have other labels or coefficients"


def _describe(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} structures, {names[0]} to {names[-1]}"


def _check_finite(moments: Moments, basis: Basis) -> None:
    bad = ~(np.isfinite(moments.mean) & np.isfinite(moments.sums).all(axis=0))
    if bad.any():
        column = int(np.argmax(bad))
        element = basis.elements[int(moments.elements[column])]
        raise InputError(f"target: function {column} (of element {element}) is not finite on the structures given")
