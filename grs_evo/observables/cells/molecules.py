"""Which molecules there are, and whether each is whole.

Atoms are bonded when they are nearer than 1.25 times the sum of their covalent radii. Where nearly all atoms of a
target stand in groups that end, of more than one atom, it consists of molecules; those that make up a fair
share of it are its kinds, and what a structure has beside them is a fragment, or two molecules that have merged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.kernels.observables.cell_list import cell_list
from grs_evo.kernels.observables.molecules import connected
from grs_evo.observables.counting.survey import Survey
from grs_evo.observables.record import Observable, Row
from grs_evo.observables.sampling import Comparison
from grs_evo.structures.structure import Structure, formula_of

LIMIT = 3.0
_STRETCH = 1.25
_MOLECULAR = 0.9  # share of a target's atoms in groups that end
_KIND = 0.04  # share of the groups that makes a kind; two of them at least
_MOST_ATOMS = 50_000  # of the structures that are looked at


def covalent_sums(elements: Sequence[str]) -> NDArray[np.float64]:
    """(n_el, n_el) Å, sums of covalent radii."""
    from ase.data import atomic_numbers, covalent_radii

    radii = np.array([covalent_radii[atomic_numbers[e]] for e in elements])
    return np.asarray(radii[:, None] + radii[None, :], np.float64)


def groups_of(structure: Structure, elements: Sequence[str]) -> tuple[Counter[str], int]:
    """Formulas of the groups of bonded atoms that end, with their number, and how many atoms are in endless ones."""
    bonds = _STRETCH * covalent_sums(elements)
    cells = cell_list(structure.positions, structure.cell, structure.species, structure.pbc, float(bonds.max()))
    group, endless = connected(cells, bonds)
    counts = np.zeros((len(endless), len(elements)), np.int64)
    np.add.at(counts, (group, structure.species), 1)
    kinds, numbers = np.unique(counts[~endless], axis=0, return_counts=True)
    formulas = Counter({formula_of(k, elements): int(n) for k, n in zip(kinds, numbers, strict=True)})
    return formulas, int(counts[endless].sum())


def _groups(found: Survey) -> tuple[Counter[str], Counter[str], int]:
    """Formulas with their numbers of groups and of atoms, and atoms in endless groups."""
    if "molecules" not in found.known:
        found.known["molecules"] = _count_groups(found)
    result: tuple[Counter[str], Counter[str], int] = found.known["molecules"]
    return result


def _count_groups(found: Survey) -> tuple[Counter[str], Counter[str], int]:
    formulas: Counter[str] = Counter()
    endless = seen = 0
    for structure in found.kept:
        own, without_end = groups_of(structure, found.elements)
        formulas += own
        endless += without_end
        seen += structure.n_atoms
        if seen > _MOST_ATOMS:
            break
    atoms = Counter({f: n * _size(f) for f, n in formulas.items()})
    return formulas, atoms, endless


def _size(formula: str) -> int:
    from ase.formula import Formula

    return len(Formula(formula))


def kinds_of(found: Survey) -> tuple[str, ...]:
    """Formulas of the molecules that a target consists of; none where it is a metal, a network or a salt."""
    formulas, atoms, endless = _groups(found)
    total = sum(atoms.values()) + endless
    molecular = sum(n for f, n in atoms.items() if _size(f) > 1)
    if molecular < _MOLECULAR * total or sum(formulas.values()) < 2:
        return ()
    return tuple(f for f, n in formulas.most_common() if n >= max(2, _KIND * sum(formulas.values())))


def _measure(found: Survey) -> dict[str, Any]:
    formulas, _, endless = _groups(found)
    return {"groups": dict(formulas.most_common()), "atoms_in_endless_groups": endless}


def _compare(found: Survey, comparison: Comparison) -> list[Row]:
    kinds = kinds_of(comparison.target)
    if not kinds:
        return []
    from scipy.stats import norm

    formulas, atoms, endless = _groups(found)
    theirs, target_atoms, target_endless = _groups(comparison.target)
    total = sum(atoms.values()) + endless
    broken = total - sum(atoms[f] for f in kinds)
    target_total = sum(target_atoms.values()) + target_endless
    target_broken = target_total - sum(target_atoms[f] for f in kinds)
    value, target = 1 - broken / total, 1 - target_broken / target_total
    if target_broken == 0:
        deviation = 0.0 if broken == 0 else 99 * LIMIT
    else:
        # fragments come by molecule, as rarely as the target shows
        pieces = sum(n for f, n in formulas.items() if f not in kinds)
        rate = (sum(n for f, n in theirs.items() if f not in kinds) + 0.5) / sum(theirs.values())
        expected = rate * sum(formulas.values())
        deviation = float(norm.isf(_at_least(pieces + (endless > 0), expected))) if broken else 0.0
    words = _words(formulas, kinds, endless)
    scatter = max(np.sqrt(target * (1 - target) / max(sum(formulas.values()), 1)), 1e-3)
    return [
        OBSERVABLE.row(
            "", "atoms in whole molecules", value, target, scatter, LIMIT, words, deviation=max(deviation, 0.0)
        )
    ]


def _at_least(number: int, expected: float) -> float:
    from scipy.stats import poisson

    return float(max(poisson.sf(number - 1, expected), 1e-300))


def _words(formulas: Counter[str], kinds: tuple[str, ...], endless: int) -> str:
    others = [f"{n} {f}" for f, n in formulas.most_common() if f not in kinds]
    if endless:
        others.append(f"{endless} atoms in groups without end")
    # a ternary mixture and more is told by its commonest kinds
    known = ", ".join(kinds[:3]) + (", …" if len(kinds) > 3 else "")
    found = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
    return f"molecules are not whole: {found} beside {known}" if others else f"all molecules are {known}"


OBSERVABLE = Observable(
    "molecules",
    "share of the atoms that stand in molecules as the target has them, by covalent bonds",
    "",
    _measure,
    _compare,
)
