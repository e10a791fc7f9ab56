"""What a run file leaves open and the target shows: how near atoms come, that their distances are compared, how many.

Resolved once, when a run begins, and written into its effective run file; so a resume reads what was decided then.
A key that is given, be it empty, is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import NDArray

from grs_evo.descriptors.basis import Basis
from grs_evo.driver.config.run_file import RunFile
from grs_evo.loss.options import LossOptions
from grs_evo.loss.terms.coordination import has_strong_bonds
from grs_evo.observables.counting.sampled import pair_density
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.structures.structure import Structure

# Of all atoms' distances to the nearest one of an element, the share that lies below what counts as the shortest: one
# odd contact in thousands does not rule.
_LOW = 0.002
# Contacts below this share of the covalent radii's sum are faults of a file, and not what a target shows.
_NO_BOND = 0.5
# Candidates may come nearer than the target's atoms do by this share: the repulsion, and not their refusal, moves them.
_NEARER = 0.9
# Share of the volume that spheres of the smallest distance may fill: more is hard to fill at random.
_PACKING = 0.4
# Atoms of an island's relaxed cells, and how many cells there are at least.
_ATOMS, _LEAST_POPULATION = 320, 6
# Weight of the pairs' distances beside means and variances: that of a glass, a melt and a liquid of four tried.
_PAIR_WEIGHT = 0.5
# Weight of the numbers of neighbours where bonds are strong: small. Of silica cells relaxed once with 0, 0.1, 0.5 and 2
# (40 each), whole networks came out 0, 2, 0 and 0 times; searches with 0.5 had a worse g(r) than without.
_COORDINATION_WEIGHT = 0.1


def with_target_defaults(
    run: RunFile, structures: Sequence[Structure], basis: Basis, torn: NDArray[np.float64] | None = None
) -> tuple[RunFile, tuple[str, ...]]:
    """The run file with core distances, smallest distances, the term of pair distances, and relaxation.

    For searches of random cells towards a target of structures only: on given sites there is nothing to decide, and a
    set is to stand for the target as a whole.

    Parameters
    ----------
    torn : see `shortest_contacts`

    Returns
    -------
    The run file, and what was decided, for the log.
    """
    if not structures or not _towards_the_target(run) or not _random_cells(run):
        return run, ()
    loss, candidates = run.loss, run.candidates
    notes: list[str] = []
    contacts = shortest_contacts(structures, basis, torn)
    given = loss.core.model_fields_set
    if contacts and loss.core.kind == "polynomial" and not given & {"distances", "fraction"}:
        core = {pair: round(contact / (1.0 + loss.core.width), 3) for pair, contact in contacts.items()}
        loss = loss.model_copy(update={"core": loss.core.model_copy(update={"distances": core})})
    if contacts and not candidates.model_fields_set & {"min_distance", "contact"}:
        widest = _widest_spacing(structures)
        nearest = {pair: round(min(_NEARER * contact, widest), 3) for pair, contact in contacts.items()}
        candidates = candidates.model_copy(update={"min_distance": nearest})
    if loss is not run.loss or candidates is not run.candidates:
        told = ", ".join(f"{pair} {contact:.2f} Å" for pair, contact in contacts.items())
        notes.append(f"shortest contacts of the target: {told}; the repulsion and the smallest distances follow them")
    if "terms" not in loss.model_fields_set and contacts:
        loss, terms_told = _with_terms(loss, structures, basis)
        notes += terms_told
    changed: dict[str, Any] = {"loss": loss, "candidates": candidates}
    if run.relax is None:
        changed["relax"] = RelaxOptions(cell="shape")
        notes.append(
            'random cells are relaxed on the loss, their shape too (relax.cell = "none" keeps it, '
            "search.genetic.relaxed = 0 leaves cells as they are)"
        )
    population = _population(run, structures)
    if population:
        changed["search"] = run.search.model_copy(update={"population": population})
        notes.append(f"search.population = {population}, since every new cell is relaxed")
    if not notes:
        return run, ()
    return run.model_copy(update=changed), tuple(notes)


def _with_terms(
    loss: LossOptions, structures: Sequence[Structure], basis: Basis
) -> tuple[LossOptions, tuple[str, ...]]:
    """The loss with the term of pair distances, and that of coordination where bonds are strong."""
    terms = {"pair_distances": _PAIR_WEIGHT}
    notes = [
        f"distances of pairs are compared with the target's (loss.terms.pair_distances = {_PAIR_WEIGHT:g}; "
        "terms = {} leaves that out)"
    ]
    if has_strong_bonds(structures, basis):
        terms["coordination"] = _COORDINATION_WEIGHT
        notes.append(
            "a gap divides the target's bonded neighbours from the next ones: their numbers are compared, too "
            f"(loss.terms.coordination = {_COORDINATION_WEIGHT:g})"
        )
    return loss.model_copy(update={"terms": terms}), tuple(notes)


def _population(run: RunFile, structures: Sequence[Structure]) -> int:
    """Individuals of an island whose cells are all relaxed, by their atoms: a relaxation is a thousand losses, so that
    fifty for each of four islands would leave a minute without a second generation. 0: as the run file says."""
    search = run.search
    if run.islands or search.strategy != "genetic" or {"population", "genetic"} & search.model_fields_set:
        return 0
    sizes = run.candidates.sizes
    largest = sizes[1] if sizes is not None else max(one.n_atoms for one in structures)
    usual = type(search).model_fields["population"].default
    return int(min(usual, max(_LEAST_POPULATION, round(_ATOMS / largest))))


def shortest_contacts(
    structures: Sequence[Structure], basis: Basis, torn: NDArray[np.float64] | None = None
) -> dict[str, float]:
    """Å by pair of elements, e.g. ``"Al-Ni"``; pairs that never come within their cutoff are missing.

    Parameters
    ----------
    torn : (n_el, n_el) Å, contacts below are faults of the target's file
    """
    n_el = len(basis.elements)
    reach = float(min(basis.cutoff.max(), 6.0))
    density = pair_density(structures, n_el, reach)
    radii = [covalent_radii[atomic_numbers[symbol]] for symbol in basis.elements]
    contacts = {}
    for a, b in combinations_with_replacement(range(n_el), 2):
        nearest = np.concatenate(
            [density.nearest[density.kinds == centre, other] for centre, other in dict.fromkeys(((a, b), (b, a)))]
        )
        own_reach = min(reach, float(basis.cutoff[a, b]), float(basis.cutoff[b, a]))
        if torn is not None:
            nearest = nearest[nearest >= torn[a, b]]
        nearest = nearest[(nearest > _NO_BOND * (radii[a] + radii[b])) & (nearest < own_reach)]
        if len(nearest):
            low = float(np.quantile(nearest, _LOW, method="higher"))
            contacts[f"{basis.elements[a]}-{basis.elements[b]}"] = low
    return contacts


def _widest_spacing(structures: Sequence[Structure]) -> float:
    """Å, the largest distance that atoms placed at random at the target's density can be kept apart."""
    periodic = [one for one in structures if one.pbc.all()]
    if not periodic:
        return np.inf
    volume = sum(one.volume for one in periodic) / sum(one.n_atoms for one in periodic)
    return float((6.0 / np.pi * _PACKING * volume) ** (1 / 3))


def _towards_the_target(run: RunFile) -> bool:
    loss = run.loss
    moments = (loss.mean, loss.variance, loss.skewness, loss.kurtosis, loss.covariance)
    return loss.w_structure > 0 and loss.w_set == 0 and run.set.rounds == 0 and min(moments) >= 0 and any(moments)


def _random_cells(run: RunFile) -> bool:
    own = [options.candidates for options in run.each_island()]
    return run.candidates.kind == "random" and all(one is None or one.kind == "random" for one in own)
