"""Archives made up for tests of whatever reads them: real bases, targets and structures, invented search histories."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.exporters.formats import extended_xyz
from grs_evo.search.counters import stat_names
from grs_evo.search.operators.table import operator_names
from grs_evo.search.population.archive import archive_hash
from grs_evo.search.population.individual import Individual, heir
from grs_evo.storage.archive_file import Archive, write_archive
from grs_evo.structures.structure import Structure, to_atoms
from grs_evo.targets.target import Target

TERMS = ("mean", "variance")
OBJECTIVES = ("mean", "variance", "n_atoms")


def small_basis(elements: tuple[str, ...] = ("Ta",)) -> Basis:
    return build_basis(elements, (4, 1), (0, 1), cutoff=4.0)


def lattice(rng: np.random.Generator, n_atoms: int, n_elements: int = 1, rattle: float = 0.12) -> Structure:
    """A rattled piece of a simple cubic lattice with vacancies, 2.7 Å apart, in a slightly sheared cell."""
    edge = int(np.ceil(n_atoms ** (1 / 3)))
    sites = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), -1).reshape(-1, 3)
    sites = sites[np.sort(rng.permutation(edge**3)[:n_atoms])]
    cell = 2.7 * edge * (np.eye(3) + rng.normal(0, 0.01, (3, 3)))
    positions = sites / edge @ cell + rng.normal(0, rattle, (n_atoms, 3))
    return Structure(positions, cell, rng.integers(0, n_elements, n_atoms), np.ones(3, bool))


def history(islands: int, generations: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One row per island and generation with every column a run writes."""
    names = stat_names(TERMS)
    rows = {name: [] for name in ("island", *names)}
    for island in range(islands):
        best, evaluations = 20.0, 0
        for generation in range(generations):
            best *= rng.choice([1.0, 0.97, 0.9])
            evaluations += int(rng.integers(40, 60))
            known = {
                "island": island,
                "generation": generation,
                "evaluations": evaluations,
                "best_value": best,
                "diversity": 0.9,
                "accepted_migrants": generation // 5,
                "rejected_overlap": 2 * generation,
                "rejected_repeat": generation,
                **{f"tries_{name}": 10 * generation for name in operator_names()[:5]},
                **{f"successes_{name}": generation for name in operator_names()[:5]},
            }
            for name in rows:
                rows[name].append(known.get(name, 0.0))
    return {name: np.array(column, np.int64 if name == "island" else np.float64) for name, column in rows.items()}


def archive(
    n: int = 12,
    *,
    elements: tuple[str, ...] = ("Ta",),
    in_set: int = 0,
    description: str = "rattled lattice",
    run_file: str = "seed = 1\n",
    operator: str = "swap",
    target: bool = True,
    sizes: tuple[int, ...] = (4, 8, 16),
    seed: int = 0,
) -> Archive:
    """An archive of `n` structures."""
    rng = np.random.default_rng(seed)
    basis = small_basis(elements)
    made = Target.from_structures(lattice(rng, 64, len(elements)), basis, description=description) if target else None
    individuals = []
    for k in range(n):
        structure = lattice(rng, int(rng.choice(sizes)), len(elements))
        terms = rng.uniform(0.01, 1.0, 2) * (16 / structure.n_atoms)
        parents = (-1, -1) if k < 2 else (int(rng.integers(k)), int(rng.integers(k)))
        one = Individual(
            structure, float(terms.sum()), terms, k, parents, "random" if k < 2 else operator, k % 2, k // 2, 50 * k
        )
        individuals.append(one if k < 2 else heir(one, individuals[parents[0]]))
    objectives = np.array([[*one.terms, one.structure.n_atoms] for one in individuals]).reshape(-1, 3)
    return Archive(
        individuals=individuals,
        elements=elements,
        term_names=TERMS,
        objective_names=OBJECTIVES,
        objectives=objectives,
        set=individuals[:in_set],
        history=history(2, 20, rng),
        target=made.to_arrays() if made is not None else {},
        basis_text=basis.to_text(),
        run_file=run_file,
        seed=1,
        archive_hash=archive_hash(individuals),
        attributes={"version": "0.1.0"},
    )


def run_folder(path: Path, **options: object) -> Path:
    """A folder with the archive of a run in it."""
    path.mkdir(parents=True)
    write_archive(path / "archive.h5", archive(**options))  # type: ignore[arg-type]
    (path / "inputs").mkdir()
    elements: tuple[str, ...] = options.get("elements", ("Ta",))  # type: ignore[assignment]
    target = lattice(np.random.default_rng(0), 27, len(elements))
    (path / "inputs" / "target.extxyz").write_bytes(extended_xyz([to_atoms(target, elements)]))
    (path / "status.json").write_text(
        json.dumps(
            {"state": "finished", "stop_reason": "generations", "seconds": 95.0, "evaluations": 2000, "ranks": 2}
        )
    )
    return path
