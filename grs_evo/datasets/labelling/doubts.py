"""What is doubtful about a fit's structures and labels: structures that are there twice, labels that cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from grs_evo.datasets.labelling.matching import Block, alike
from grs_evo.datasets.labels import Labelled
from grs_evo.descriptors.basis import Basis
from grs_evo.errors import InputError
from grs_evo.structures.structure import from_atoms
from grs_evo.targets.overlap import check_overlap
from grs_evo.text import counted

# Structures with the same environments differ by no more than these shares of a column's size: by the digits of files,
# which means follow by their square.
_SAME, _SAME_SLOPE = 1e-6, 1e-4
_NOISE = 1e-12  # of sums that vanish by symmetry
# eV per atom by which energies of the same environments may differ; labels beyond these are looked at: eV per atom
# from the usual, and eV/Å.
_SAME_ENERGY = 1e-3
_FAR_ENERGY, _FAR_FORCE = 100.0, 1000.0
# Share of the labels' own scatter that a fit leaves, from which on it tells nothing of them.
_NOTHING = 0.9


class Environments(NamedTuple):
    """What tells structures apart, however they are turned, moved or repeated."""

    means: NDArray[np.float64]  # (n, d) descriptors' mean over the atoms, and the composition
    slopes: NDArray[np.float64]  # (n, d') root mean square of each descriptor's derivatives by positions


def same(some: Environments, earlier: Environments | None = None) -> Iterator[tuple[int, int]]:
    """(number, number of the first) of each structure that has the same environments as an earlier one.

    Atoms in another order, a cell that is turned, moved or repeated have the same environments. Means alone would take
    a crystal with an atom a hundredth of an Ångström off for the crystal: they change with the square of that.

    Parameters
    ----------
    earlier : look among these instead
    """
    columns = zip(some, earlier or some, (_SAME, _SAME_SLOPE), strict=True)
    return alike(
        [Block(own, among, share * np.sqrt((among**2).mean(axis=0)) + _NOISE) for own, among, share in columns]
    )


def seen(pairs: Sequence[tuple[int, int]], tests: Sequence[str], known: Sequence[str]) -> str:
    """A note of test structures that are in the set as well; empty where none is.

    Parameters
    ----------
    pairs : of them and their like in the set
    tests, known : what the test structures and those of the set are called
    """
    if not pairs:
        return ""
    k, j = pairs[0]
    of_all = f"all {len(tests)}" if len(pairs) == len(tests) else f"{len(pairs)} of the {len(tests)}"
    return (
        f"{of_all} test structures {'is' if len(pairs) == 1 else 'are'} in the set as well, the first: "
        f"{tests[k]} is {known[j]}; the fit has seen {'it' if len(pairs) == 1 else 'them'}"
    )


def twice(some: Environments, energies: NDArray[np.float64], names: Sequence[str]) -> list[str]:
    """Notes of structures that a set holds twice, and of energies that contradict each other.

    Parameters
    ----------
    energies : (n,) eV per atom
    """
    pairs = list(same(some))
    notes = []
    if pairs:
        k, j = pairs[0]
        notes.append(
            f"{counted(len(pairs), 'structure')} of the set {'is' if len(pairs) == 1 else 'are'} there twice, "
            f"the first: {names[k]} is {names[j]}"
        )
    other = [(k, j) for k, j in pairs if abs(energies[k] - energies[j]) > _SAME_ENERGY]
    if other:
        k, j = max(other, key=lambda one: abs(energies[one[0]] - energies[one[1]]))
        notes.append(
            f"{names[k]} is {names[j]} with another energy: {energies[k]:.6g} and {energies[j]:.6g} eV/atom"
            f"{f', and {len(other) - 1} more are' if other[1:] else ''}; which is right?"
        )
    return notes


def overlapping(structures: Sequence[Labelled], basis: Basis) -> list[str]:
    """A note of structures whose atoms lie nearer than any others do."""
    found = []
    for one in structures:
        try:
            check_overlap(from_atoms(one.atoms, basis.elements, one.source), basis, one.source)
        except InputError as error:
            found.append(str(error))
    return [f"{found[0]}{_more(len(found))}"] if found else []


def strange(
    energies: NDArray[np.float64],
    compositions: NDArray[np.float64],
    forces: Sequence[NDArray[np.float64]],
    names: Sequence[str],
) -> list[str]:
    """Notes of labels that hardly are in eV and eV/Å: an energy far from all others, a force that nothing bears.

    Parameters
    ----------
    energies : (n,) eV per atom
    compositions : (n, n_elements) fractions
    forces : of each structure, eV/Å
    """
    notes = []
    # of each element's energy the usual one, which a few wrong ones do not change
    usual = np.zeros(len(energies))
    for _ in range(3):
        kept = np.abs(energies - usual) <= np.median(np.abs(energies - usual)) * 3.0 + 1e-12
        if np.linalg.matrix_rank(compositions[kept]) < np.linalg.matrix_rank(compositions):
            break
        usual = compositions @ np.linalg.lstsq(compositions[kept], energies[kept], rcond=None)[0]
    off = np.abs(energies - usual)
    if len(energies) > 2 and off.max() > _FAR_ENERGY:
        k = int(off.argmax())
        notes.append(
            f"{names[k]}: its energy is {energies[k]:.6g} eV/atom where {usual[k]:.4g} is usual"
            f"{_more(int((off > _FAR_ENERGY).sum()))}; is it in eV, of the whole cell?"
        )
    largest = np.array([np.abs(one).max(initial=0.0) for one in forces])
    if largest.max(initial=0.0) > _FAR_FORCE:
        k = int(largest.argmax())
        notes.append(
            f"{names[k]}: has a force of {largest[k]:.4g} eV/Å{_more(int((largest > _FAR_FORCE).sum()))}; "
            "are forces in eV/Å?"
        )
    return notes


def _more(n: int) -> str:
    return f" ({n - 1} more are like it)" if n > 1 else ""


def unexplained(left: tuple[float, float], scatter: tuple[float, float]) -> str:
    """A note where a fit tells next to nothing of its own energies or forces; empty where it does.

    Parameters
    ----------
    left : root mean square errors on the set, of energies in eV per atom and of forces in eV/Å
    scatter : of the labels themselves, energies less what compositions alone explain
    """
    found = [
        f"{what} ({error:.3g} of {own:.3g} {unit} are left)"
        for what, error, own, unit in zip(("energies", "forces"), left, scatter, ("eV/atom", "eV/Å"), strict=True)
        if error > max(_NOTHING * own, _SAME_ENERGY)
    ]
    if not found:
        return ""
    return f"the fit explains nothing of its own {' and '.join(found)}: are labels in eV and eV/Å, of one calculator?"
