"""Cluster correlations on the lattice of an alloy, as codes for special quasirandom structures compare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError, within
from grs_evo.kernels.lattice.clusters import ClusterTables
from grs_evo.loss.terms.term import AddedTerm, TermOptions
from grs_evo.structures.clusters import placed, shells, shortest_vector
from grs_evo.structures.structure import Structure
from grs_evo.targets.clusters import (
    Clusters,
    cluster_tables,
    cluster_value,
    make_clusters,
    orbit_report,
    sites_of,
    with_wanted,
    with_weights,
)
from grs_evo.targets.short_range_order import ordered_cell
from grs_evo.targets.target import Target

# Shells that pairs and triplets reach where nothing is given. A small cell has too few occupations for more:
# quadruplets cost more of pairs and triplets than they gain.
_SHELLS = (5, 3)
_Weight = Annotated[float, Field(ge=0, le=1e6)]  # squares of larger ones would overflow
_FAR = 3.0  # of the cube root of the volume of a site: beyond the shells above


class ClusterOptions(TermOptions):
    """How far clusters reach: the longest distance between two of their sites."""

    pairs: float | None = Field(None, ge=0, description="of pairs; default: five shells of sites; 0: none [Å]")
    triplets: float | None = Field(None, ge=0, description="of triplets; default: three shells; 0: none [Å]")
    quadruplets: float = Field(0.0, ge=0, description="of quadruplets; 0: none [Å]")
    weights: dict[Literal["pairs", "triplets", "quadruplets"], tuple[_Weight, ...]] = Field(
        default={},
        description="of orbits, the shortest first, over the usual ones; orbits that are not given have 1 [1]",
        json_schema_extra={"written": "when given"},
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _tuples(cls, given: Any) -> Any:
        """Lists, as run files have them, as tuples."""
        if not isinstance(given, Mapping):
            return given
        return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _radii(cell: NDArray[np.float64], sites: NDArray[np.float64], options: ClusterOptions) -> list[float]:
    """Of pairs, triplets and quadruplets; what is not given holds the clusters that are, and lies within them."""
    spacing = (abs(np.linalg.det(cell)) / len(sites)) ** (1 / 3)
    found = shells(cell, sites, _FAR * spacing)
    far, near = (found[min(n, len(found)) - 1] for n in _SHELLS)
    pairs, triplets, quadruplets = options.pairs, options.triplets, options.quadruplets
    if pairs is None:
        pairs = max(far, triplets or 0.0, quadruplets)
    if triplets is None:
        triplets = min(pairs, max(near, quadruplets))
    return [pairs, triplets, quadruplets]


def _prepare(basis: Basis, target: Target, options: ClusterOptions) -> tuple[Clusters, ClusterOptions]:
    with within("loss.terms.clusters"):
        alloy, weights = target.alloy, target.weights.tolist()
        if alloy is None:
            alloy = sites_of(target.structures, weights, len(basis.elements))
        clusters = make_clusters(alloy, _radii(alloy.cell, alloy.sites, options))
        if target.alloy is None:
            clusters = with_wanted(clusters, target.structures, weights)
        elif len(alloy.orders):
            clusters = with_wanted(clusters, [ordered_cell(alloy)[0]], [1.0])
        return (with_weights(clusters, options.weights) if options.weights else clusters), options


def _value(
    positions: NDArray[np.float64],
    cell: NDArray[np.float64],
    species: NDArray[np.int32],
    pbc: NDArray[np.bool_],
    gradient: bool,
    slopes: NDArray[np.float64],
    strain: NDArray[np.float64],
    state: tuple[Clusters, ClusterOptions],
) -> float:
    """The term; its slopes are 0, for atoms that move a little stay on their sites."""
    return cluster_value(state[0], Structure(positions, cell, species, pbc))


def _on_sites(template: Structure, weight: float, state: tuple[Clusters, ClusterOptions]) -> ClusterTables:
    clusters, options = state
    given = {name: r for name in ("pairs", "triplets", "quadruplets") if (r := getattr(options, name))}
    shortest = shortest_vector(template.cell)
    lengths = ", ".join(f"{one:.4g}" for one in np.linalg.norm(template.cell, axis=1))
    for name, radius in given.items():
        if radius >= shortest * (1.0 - 1e-6):
            raise InputError(
                f"loss.terms.clusters.{name}: reach {radius:g} Å, but in a cell of {template.n_atoms} sites, with"
                f" vectors of {lengths} Å, each site has its own image {shortest:.4g} Å away; stay below that,"
                " or take a larger or less elongated cell"
            )
    at = placed(template, clusters.alloy.cell, clusters.alloy.sites, "candidates")
    return cluster_tables(clusters, at, weight)


def _report(
    structure: Structure, elements: Sequence[str], source: str, state: tuple[Clusters, ClusterOptions]
) -> list[dict[str, Any]]:
    """A row for each orbit: its clusters, how far they are off, and the orders of pairs."""
    return orbit_report(state[0], structure, elements, source)


TERM = AddedTerm(
    name="clusters",
    meaning="cluster correlations against the target's, in spreads of single environments",
    unit="1",
    target="moments",
    takes="positions",
    value=_value,
    prepare=_prepare,
    options=ClusterOptions,
    on_sites=_on_sites,
    report=_report,
)
