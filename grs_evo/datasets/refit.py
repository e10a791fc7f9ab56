"""A linear potential fitted on a set, and its errors on structures that the fit has not seen: what the set is worth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from grs_evo.datasets.design import design_rows, model_basis
from grs_evo.datasets.labelling import doubts
from grs_evo.datasets.labels import Labelled, elements_of, read_labelled
from grs_evo.datasets.pool import ENERGY_SIGMA, FORCE_SIGMA
from grs_evo.descriptors.basis import Basis
from grs_evo.descriptors.threads.workers import Workers
from grs_evo.descriptors.yace.file import write_yace
from grs_evo.errors import InputError
from grs_evo.structures.structure import from_atoms
from grs_evo.targets.chunks import cores
from grs_evo.text import counted

# Ridges that are tried, as shares of the mean diagonal of the normal equations: half decades.
RIDGES = tuple(10.0 ** (k / 2) for k in range(-24, 1))
# Weights of energies against forces that are tried where none is given.
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)
_FOLDS = 8
_DEALS = 3  # times that structures are dealt out anew: which are left out together is chance


@dataclass(frozen=True, eq=False)
class Rows:
    """A labelled structure as rows of the fit, not scaled."""

    energy: NDArray[np.float64]  # (d,)
    composition: NDArray[np.float64]  # (n_elements,)
    forces: NDArray[np.float64]  # (3n, d)
    energy_label: float  # eV per atom
    force_labels: NDArray[np.float64]  # (3n,) eV/Å
    group: str
    source: str


@dataclass(frozen=True)
class Errors:
    """Root mean square errors of some structures."""

    structures: int
    energy: float  # meV per atom
    forces: float  # meV/Å


@dataclass(frozen=True, eq=False)
class Potential:
    """E = Σ_i (e0 + coefficients · B_i)"""

    basis: Basis
    coefficients: NDArray[np.float64]  # (d,) eV
    e0: NDArray[np.float64]  # (n_elements,) eV per atom
    ridge: float  # the share that cross-validation chose
    energies: float  # weight of energies against forces, given or found by it

    def write(self, path: str | os.PathLike[str]) -> None:
        """A `.yace` file for LAMMPS (ML-PACE) and ace-jax."""
        write_yace(self.basis, path, self.coefficients, self.e0.tolist())

    def errors(self, rows: Iterable[Rows]) -> dict[str, Errors]:
        """By group, and of all under the name ``all``."""
        found: dict[str, list[tuple[float, float, int]]] = {}
        for one in rows:
            energy = one.energy @ self.coefficients + one.composition @ self.e0 - one.energy_label
            forces = one.forces @ self.coefficients - one.force_labels
            entry = (float(energy**2), float((forces**2).sum()), len(forces))
            found.setdefault(one.group, []).append(entry)
            found.setdefault("all", []).append(entry)
        return {
            group: Errors(
                len(entries),
                1e3 * float(np.sqrt(np.mean([e for e, _, _ in entries]))),
                1e3 * float(np.sqrt(sum(f for _, f, _ in entries) / max(1, sum(n for _, _, n in entries)))),
            )
            for group, entries in sorted(found.items(), key=lambda item: (item[0] == "all", item[0]))
        }


@dataclass(frozen=True, eq=False)
class Refit:
    """A fit on a set, and its errors on the set and on what it has not seen."""

    potential: Potential
    n_structures: int
    n_environments: int
    training: dict[str, Errors]
    test: dict[str, Errors]
    notes: tuple[str, ...] = ()  # what is doubtful about structures and labels
    seen: int = 0  # test structures that are in the set as well

    def __repr__(self) -> str:
        seen = self.test.get("all") or self.training["all"]
        return (
            f"Refit({self.n_structures} structures, {self.n_environments} environments: "
            f"{seen.energy:.3g} meV/atom, {seen.forces:.3g} meV/Å)"
        )


def refit(
    training: Any,
    test: Any = None,
    *,
    basis: Basis | None = None,
    energies: float | None = None,
    threads: int | None = None,
    seed: int = 0,
) -> Refit:
    """Fit a linear potential on a set and judge it on another.

    Ridge and weight of energies are chosen by cross-validation on the set alone, whole structures dealt out group by
    group: errors of those left out, not squared, are least by their sum for the ridge, by their product for the
    weight. The test structures play no part in the fit.

    Parameters
    ----------
    training, test : structure files, `ase.Atoms`, or an iterable of either, with energies and forces; `Refit.notes`
        tells of test structures that are in the training set as well
    basis : default `design.model_basis` of the training structures
    energies : weight of energies against forces, at 1 an error of 1 meV per atom counts like one of 0.1 eV/Å; default:
        the best of 1/4 to 4 by cross-validation

    Raises
    ------
    InputError
        A structure without energy or forces, an element outside the basis, fewer than two structures, a weight that
        is not positive.
    """
    if energies is not None and not 0.0 < energies < np.inf:
        raise InputError(f"refit: energies is {energies:g}; the weight of energies against forces must be > 0")
    threads = cores() if threads is None else threads
    given = list(read_labelled(training))
    if len(given) < 2:
        raise InputError(f"refit: {counted(len(given), 'structure')} to fit on; at least 2 are needed")
    if basis is None:
        elements = elements_of(given)
        basis = model_basis(elements, [from_atoms(one.atoms, elements, one.source) for one in given])
    rows = labelled_rows(given, basis, threads)
    if not any(one.forces.any() or one.energy.any() for one in rows):
        raise InputError(f"refit: no two atoms of the set are within the cutoff of {basis.cutoff.max():g} Å")
    with threadpool_limits(1):  # of BLAS, whose threads wait for each other, and whose sums depend on their number
        potential = fit(rows, basis, seed, energies)
    unseen = labelled_rows(list(read_labelled(test)), basis, threads) if test is not None else []
    n_environments = sum(len(one.force_labels) // 3 for one in rows)
    errors = potential.errors(rows)
    tested = potential.errors(unseen) if unseen else {}
    notes, seen = _notes(rows, unseen, errors["all"], len(potential.coefficients))
    notes = [*doubts.overlapping(given, basis), *notes]
    return Refit(potential, len(rows), n_environments, errors, tested, tuple(notes), seen)


def _notes(rows: Sequence[Rows], unseen: Sequence[Rows], errors: Errors, n_functions: int) -> tuple[list[str], int]:
    """What is doubtful about a set, test structures, their labels and the fit; how many tests are in the set."""

    def environments(some: Sequence[Rows]) -> doubts.Environments:
        return doubts.Environments(
            np.array([np.concatenate([one.energy, one.composition]) for one in some]),
            np.array([np.sqrt((one.forces**2).mean(axis=0)) for one in some]),
        )

    names, energies = [one.source for one in rows], np.array([one.energy_label for one in rows])
    compositions = np.array([one.composition for one in rows])
    notes, seen = doubts.twice(environments(rows), energies, names), []
    if unseen:
        seen = list(doubts.same(environments(unseen), environments(rows)))
        notes.append(doubts.seen(seen, [one.source for one in unseen], names))
    for some in (rows, unseen):
        if some:
            notes += doubts.strange(
                np.array([one.energy_label for one in some]),
                np.array([one.composition for one in some]),
                [one.force_labels for one in some],
                [one.source for one in some],
            )
    forces = np.concatenate([one.force_labels for one in rows])
    rest = energies - compositions @ np.linalg.lstsq(compositions, energies, rcond=None)[0]
    scatter = (float(np.sqrt((rest**2).mean())), float(np.sqrt((forces**2).mean())))
    notes.append(doubts.unexplained((errors.energy / 1e3, errors.forces / 1e3), scatter))
    if n_functions > len(rows) + len(forces):
        notes.append(
            f"{n_functions} functions are fitted to {len(rows)} energies and {len(forces)} forces: errors on the set "
            "say nothing"
        )
    return [note for note in notes if note], len(seen)


def labelled_rows(structures: Sequence[Labelled], basis: Basis, threads: int = 1) -> list[Rows]:
    """Rows and labels of structures.

    Raises
    ------
    InputError
        Names the first structure that has no energy or no forces.
    """
    for one in structures:
        if one.energy is None or one.forces is None:
            lacking = "energy" if one.energy is None else "forces"
            raise InputError(f"{one.source}: has no {lacking}; a fit needs energies and forces of every structure")

    def made(one: Labelled) -> Rows:
        structure = from_atoms(one.atoms, basis.elements, one.source)
        rows = design_rows(structure, basis, one.source)
        assert one.energy is not None
        assert one.forces is not None
        return Rows(
            rows.energy,
            rows.composition,
            rows.forces,
            one.energy / structure.n_atoms,
            one.forces.ravel(),
            one.group,
            one.source,
        )

    with threadpool_limits(1), Workers(threads) as workers:
        return list(workers.in_order(made, structures))


def fit(rows: Sequence[Rows], basis: Basis, seed: int = 0, energies: float | None = None) -> Potential:
    """Ridge regression; the ridge, and the weight of energies if none is given, by cross-validation on these rows.

    Energies are weighted by `energies`/(1 meV per atom), forces by 1/(0.1 eV/Å); each column is divided by its root
    mean square. Energies of single elements are found beside, without a ridge.
    """
    weights = WEIGHTS if energies is None else (energies,)
    problem = _Problem.of(rows, 1.0 if energies is None else energies)
    off = _left_out(rows, problem, weights, seed)
    ridges = [_best(weight * one[0], one[1], problem.counts) for weight, one in zip(weights, off, strict=True)]
    chosen = np.array([one[:, :, ridge] for one, ridge in zip(off, ridges, strict=True)])
    best = _best_weight(chosen[:, 0].sum(axis=1), chosen[:, 1] @ problem.counts)
    weight, ridge = weights[best], RIDGES[ridges[best]]
    found, constants = problem.solutions(np.arange(len(rows)), problem.gram, problem.product, weight, (ridge,))
    return Potential(basis, found[:, 0] / problem.scale, constants[:, 0], ridge, weight)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The rows of a fit: energies in units of 1 meV per atom, columns divided by `scale`."""

    energy: NDArray[np.float64]  # (n, d)
    composition: NDArray[np.float64]  # (n, n_elements)
    labels: NDArray[np.float64]  # (n,)
    counts: NDArray[np.int64]  # (n,) force rows
    sizes: NDArray[np.float64]  # (1 + n, d) sums of squares of each column: energies less their mean, forces of each
    scale: NDArray[np.float64]  # (d,) root mean square of a column at the weight that was asked for; inf of none
    gram: NDArray[np.float64]  # (d, d) of all force rows
    product: NDArray[np.float64]  # (d,) of them with the forces

    @staticmethod
    def of(rows: Sequence[Rows], weight: float) -> _Problem:
        energy = np.array([one.energy for one in rows]) / ENERGY_SIGMA
        counts = np.array([len(one.forces) for one in rows])
        centred = energy - energy.mean(axis=0)
        forces = ((one.forces**2).sum(axis=0) / FORCE_SIGMA**2 for one in rows)
        sizes = np.array([(centred**2).sum(axis=0), *forces])
        scale = _scale(sizes, weight, len(rows) + int(counts.sum()))
        gram, product = _normal(rows, scale)
        composition = np.array([one.composition for one in rows]) / ENERGY_SIGMA
        labels = np.array([one.energy_label for one in rows]) / ENERGY_SIGMA
        return _Problem(energy / scale, composition, labels, counts, sizes, scale, gram, product)

    def solutions(
        self,
        kept: NDArray[np.int64],
        gram: NDArray[np.float64],
        product: NDArray[np.float64],
        weight: float,
        ridges: Sequence[float] = RIDGES,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(d, n_ridges) coefficients of the scaled columns and (n_elements, n_ridges) energies of the elements.

        Parameters
        ----------
        kept : structures whose energy rows are fitted
        gram, product : of the force rows that are fitted
        weight : of the energies; the ridge acts on columns that have the size one at this weight
        """
        scale = _scale(self.sizes, weight, len(self.counts) + int(self.counts.sum()))
        turn = np.divide(self.scale, scale, out=np.ones_like(scale), where=np.isfinite(scale))
        found = _solutions(
            weight * self.energy[kept] * turn,
            weight * self.composition[kept],
            weight * self.labels[kept],
            gram * turn * turn[:, None],
            product * turn,
            ridges,
        )
        coefficients, constants = (np.array(one).T for one in zip(*found, strict=True))
        return coefficients * turn[:, None], constants


def _scale(sizes: NDArray[np.float64], weight: float, n_rows: int) -> NDArray[np.float64]:
    """(d,) root mean square of each column; inf where it vanishes, so that scaled it is nothing."""
    size = np.sqrt(np.concatenate([weight**2 * sizes[:1], sizes[1:]]).sum(axis=0) / n_rows)
    return np.where(size > 1e-12 * size.max(initial=0.0), size, np.inf)


def _left_out(rows: Sequence[Rows], problem: _Problem, weights: Sequence[float], seed: int) -> NDArray[np.float64]:
    """(n_weights, 2, n, n_ridges) errors of structures that fits have not seen, summed over the deals.

    Of energies in meV per atom, and root mean squares of each structure's forces in 0.1 eV/Å. Gram matrices of force
    rows serve all weights.
    """
    off = np.zeros((len(weights), 2, len(rows), len(RIDGES)))
    for deal_ in range(_DEALS):
        folds = deal([one.group for one in rows], min(_FOLDS, len(rows)), seed + deal_)
        for fold in range(int(folds.max()) + 1):
            own, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            blocks = [_scaled(rows[k], problem.scale) for k in own.tolist()]
            gram, product = _sums(blocks, len(problem.scale))
            for w, weight in enumerate(weights):
                found, constants = problem.solutions(rest, problem.gram - gram, problem.product - product, weight)
                energies = problem.energy[own] @ found + problem.composition[own] @ constants
                off[w, 0, own] += np.abs(energies - problem.labels[own, None])
                for k, (block, wanted) in zip(own.tolist(), blocks, strict=True):
                    off[w, 1, k] += np.sqrt(((block @ found - wanted[:, None]) ** 2).mean(axis=0))
    return off


def _best(energies: NDArray[np.float64], forces: NDArray[np.float64], counts: NDArray[np.int64]) -> int:
    """The ridge with the least errors of structures left out, not squared.

    A sum of squares is often that of one structure unlike the others, of which no ridge makes a good prediction.

    Parameters
    ----------
    energies : (n_structures, n_ridges) errors
    forces : (n_structures, n_ridges) root mean square errors of each structure's
    counts : (n_structures,) forces of each
    """
    return int((energies.sum(axis=0) + counts @ forces).argmin())


def _best_weight(energies: NDArray[np.float64], forces: NDArray[np.float64]) -> int:
    """Of weights, by the errors that they leave (n_weights,): where their product is least.

    A per cent less of one error would then cost a per cent of the other: no unit decides.
    """
    return int((np.log(np.maximum(energies, 1e-300)) + np.log(np.maximum(forces, 1e-300))).argmin())


def _scaled(one: Rows, scale: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Force rows and forces in units of their sigma, columns divided by `scale`."""
    return one.forces / (FORCE_SIGMA * scale), one.force_labels / FORCE_SIGMA


def _normal(rows: Sequence[Rows], scale: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(d, d) and (d,) sums over force rows: rows times rows, and rows times forces."""
    return _sums((_scaled(one, scale) for one in rows), len(scale))


def _sums(
    blocks: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]], d: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gram, product = np.zeros((d, d)), np.zeros(d)
    for block, wanted in blocks:
        gram += block.T @ block
        product += block.T @ wanted
    return gram, product


def _solutions(
    energy: NDArray[np.float64],
    composition: NDArray[np.float64],
    labels: NDArray[np.float64],
    gram: NDArray[np.float64],
    product: NDArray[np.float64],
    ridges: Sequence[float] = RIDGES,
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Scaled coefficients and element energies for each ridge."""
    # what compositions alone explain is taken out of the energy rows: they have no ridge
    inverse = np.linalg.pinv(composition)
    rest = energy - composition @ (inverse @ energy)
    wanted = labels - composition @ (inverse @ labels)
    whole = gram + rest.T @ rest
    values, vectors = np.linalg.eigh((whole + whole.T) / 2.0)
    projected = vectors.T @ (product + rest.T @ wanted)
    mean = max(float(np.trace(whole)) / len(whole), 1e-300)
    solved = []
    for ridge in ridges:
        found = vectors @ (projected / (np.maximum(values, 0.0) + ridge * mean))
        solved.append((found, inverse @ (labels - energy @ found)))
    return solved


def deal(groups: Sequence[str], folds: int, seed: int = 0) -> NDArray[np.int64]:
    """(n,) fold of each structure: each group shuffled and dealt out in turn, one group after the other."""
    rng = np.random.default_rng((seed, 6))
    dealt = np.zeros(len(groups), np.int64)
    place = 0
    names = np.array(groups)
    for group in sorted(set(groups)):
        for k in rng.permutation(np.flatnonzero(names == group)):
            dealt[k] = place % folds
            place += 1
    return dealt
