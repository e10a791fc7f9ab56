"""What a run file leaves open and the target shows: how near atoms come, and that their distances are compared.

Resolved once, when a run begins, and written into its effective run file; so a resume reads what was decided then.
A key that is given, be it empty, is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers, covalent_radii

from grs_evo.descriptors.basis import Basis
from grs_evo.driver.config.run_file import RunFile
from grs_evo.loss.options import LossOptions
from grs_evo.loss.terms.coordination import has_strong_bonds
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.structures.neighbours import neighbours
from grs_evo.structures.structure import Structure

# Of all atoms' distances to the nearest one of an element, the share that lies below what counts as the shortest: one
# odd contact in thousands does not rule.
_LOW = 0.002
# Environments looked at, at most.
_SAMPLE = 20_000
# Contacts below this share of the covalent radii's sum are faults of a file, and not what a target shows.
_NO_BOND = 0.5
# Candidates may come nearer than the target's atoms do by this share: the repulsion, and not their refusal, moves them.
_NEARER = 0.9
# Share of the volume that spheres of the smallest distance may fill: more is hard to fill at random.
_PACKING = 0.4
# Weight of the pairs' distances beside means and variances: that of a glass, a melt and a liquid of four tried.
_PAIR_WEIGHT = 0.5
# Weight of the numbers of neighbours where bonds are strong. Little evidence: of silica cells relaxed with 0, 0.1, 0.5
# and 2 (40 each), those with 2 were clearly worse; the first three are alike within what 40 tell.
_COORDINATION_WEIGHT = 0.5


def with_target_defaults(
    run: RunFile, structures: Sequence[Structure], basis: Basis
) -> tuple[RunFile, tuple[str, ...]]:
    """The run file with core distances, smallest distances, the term of pair distances, and relaxation.

    For searches of random cells towards a target of structures only: on given sites there is nothing to decide, and a
    set is to stand for the target as a whole.

    Returns
    -------
    The run file, and what was decided, for the log.
    """
    if not structures or not _towards_the_target(run) or not _random_cells(run):
        return run, ()
    loss, candidates = run.loss, run.candidates
    notes: list[str] = []
    contacts = shortest_contacts(structures, basis)
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
        changed["relax"] = RelaxOptions()
        notes.append("random cells are relaxed on the loss (search.genetic.relaxed = 0 leaves them as they are)")
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


def shortest_contacts(structures: Sequence[Structure], basis: Basis) -> dict[str, float]:
    """Å by pair of elements, e.g. ``"Al-Ni"``; pairs that never come within their cutoff are missing."""
    n_el = len(basis.elements)
    reach = float(min(basis.cutoff.max(), 6.0))
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    stride = max(1, -(-sum(one.n_atoms for one in structures) // _SAMPLE))
    for structure in structures:
        centres = np.arange(0, structure.n_atoms, stride)
        pairs = neighbours(structure, reach, centres)
        for a in range(n_el):
            for b in range(n_el):
                chosen = (structure.species[pairs.first] == a) & (structure.species[pairs.second] == b)
                least = np.full(structure.n_atoms, np.inf)
                np.minimum.at(least, pairs.first[chosen], pairs.distances[chosen])
                found.setdefault((min(a, b), max(a, b)), []).append(least[np.isfinite(least)])
    radii = [covalent_radii[atomic_numbers[symbol]] for symbol in basis.elements]
    contacts = {}
    for (a, b), parts in sorted(found.items()):
        nearest = np.concatenate(parts)
        own_reach = min(reach, float(basis.cutoff[a, b]), float(basis.cutoff[b, a]))
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
