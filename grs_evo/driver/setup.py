"""A run file into the problem that its islands work on: basis, target, loss, candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from grs_evo.descriptors.basis import Basis, build_basis
from grs_evo.descriptors.options import BasisOptions
from grs_evo.driver.chosen.basis import chosen_basis, is_open
from grs_evo.driver.chosen.frames import Division, described, divided
from grs_evo.driver.config.changes import map_files
from grs_evo.driver.config.from_alloy import AlloyCell, named_lattice, with_alloy_defaults
from grs_evo.driver.config.run_file import AlloyOptions, RunFile, TargetOptions, read
from grs_evo.driver.config.without_effect import without_effect
from grs_evo.errors import InputError, within
from grs_evo.files import is_there
from grs_evo.loss.lattice import make_lattice_objective, reference_structures
from grs_evo.loss.objective import Objective, make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.loss.terms.table import needs_covariance, weights
from grs_evo.observables.catalogue import try_plugged
from grs_evo.potential.relaxation import RelaxOptions
from grs_evo.search import island
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions, Source, candidate, without_effort
from grs_evo.search.fresh_candidates import NoCandidates
from grs_evo.search.operators.probabilities import check_operators
from grs_evo.search.options import IslandOptions
from grs_evo.search.population.archive import check_objectives, default_objectives
from grs_evo.search.problem import Problem
from grs_evo.storage.target_file import TargetData, write_target
from grs_evo.structures.reading import Entry, elements_of, read_sites, read_structures, read_with_elements
from grs_evo.structures.structure import VACANCY, Structure, lacks_cell, to_atoms
from grs_evo.targets.chunks import Worker, cores, parts_of
from grs_evo.targets.target import Target
from grs_evo.text import counted

# random structures whose spread scales the differences of a loss
_N_REFERENCE = 512
# Structures that a search may well come to the end of.
_FEW = 10_000


def make_target_data(run: RunFile, folder: Path, worker: Worker | None = None) -> TargetData:
    """Read the target's structures and describe them.

    Parameters
    ----------
    folder : where relative file names start
    worker : who describes large structures; default: this thread alone
    """
    with threadpool_limits(1):
        if run.target.stored is not None:
            return _stored(run, folder)
        options = run.target
        covariance = needs_covariance(run.loss)
        parts = Division([], [])
        chosen = None
        if options.files and run.basis.yace is None and not run.basis.elements:
            elements, entries = _read_target(options, None, folder)
            parts = divided(run, entries)
            chosen = _for_target(run, parts.seen, elements)
            basis = make_basis(chosen or run.basis, folder, elements=elements)
        else:
            basis = make_basis(run.basis, folder, options)
            if options.files:
                parts = divided(run, _read_target(options, basis.elements, folder)[1])
                chosen = _for_target(run, parts.seen, basis.elements)
                if chosen is not None:
                    basis = make_basis(chosen, folder, elements=basis.elements)
        structures = tuple(entry.structure for entry in parts.seen)
        if options.alloy is not None:
            return TargetData(basis, _alloy(options.alloy, basis, structures, covariance), structures[:1])
        target = described(parts.seen, basis, covariance, worker, parts.seen_centres)
        kept_out = described(parts.kept, basis, covariance, worker, parts.kept_centres) if parts.kept else None
        return TargetData(basis, target, structures, chosen, kept_out)


def _for_target(run: RunFile, entries: Sequence[Entry], elements: Sequence[str]) -> BasisOptions | None:
    """The basis options with what they leave to the target's structures; None where they leave nothing."""
    weighing = [entry.structure for entry in entries if entry.weight > 0]
    if run.target.alloy is not None or not is_open(run.basis) or not weighing:
        return None
    return chosen_basis(run.basis, weighing, elements)


def _read_target(
    options: TargetOptions, elements: Sequence[str] | None, folder: Path
) -> tuple[Sequence[str], list[Entry]]:
    """Elements and structures of `target.files`, each with a cell.

    Parameters
    ----------
    elements : of the basis; None: those that occur in the files
    """
    given = (options.weights, options.types, options.format, folder)
    try:
        if options.alloy is not None:
            occupants = options.alloy.occupants
            elements, entries = read_sites(options.files, elements, occupants, *given[1:])
        elif elements is None:
            elements, entries = read_with_elements(options.files, *given)
        else:
            entries = read_structures(options.files, elements, *given)
    except InputError as error:
        text = str(error)
        raise InputError(f"target.{text}" if text.startswith("weights: ") else f"target.files: {text}") from None
    for entry in entries:
        if lacks_cell(entry.structure):
            raise InputError(
                f'target.files: {entry.source}: has no cell; give it one (in extended XYZ: Lattice="…", and '
                'pbc="F F F" for a cluster in vacuum)'
            )
    return elements, entries


def store_target(
    files: Sequence[str],
    out: Path,
    run_file: Path | None = None,
    cutoff: float | None = None,
    covariance: bool = False,
    types: Sequence[str] = (),
    format: str | None = None,
    weights: Mapping[str, float] | None = None,
    worker: Worker | None = None,
) -> str:
    """Describe structure files, or what a run file's [target] says, and write the target; returns one line about it.

    Parameters
    ----------
    files : instead of those of the run file
    run_file : whose basis, target and covariance are taken over, as far as nothing else is given
    cutoff : Å, of all pairs, where there is no run file
    types, format, weights : instead of the run file's
    worker : who describes large structures; default: a thread per core
    """
    if is_there(out):
        raise InputError(f"{out}: exists already; choose another --out")
    given = {"files": tuple(files), "types": tuple(types), "format": format, "weights": dict(weights or {})}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value}
    if run_file is None:
        if not files:
            raise InputError("target: name structure files, or a run file with a [target] by --run-file")
        wanted = RunFile(target=TargetOptions(**changes, kept_out=0.0), basis=BasisOptions(cutoff=cutoff))
    elif cutoff is not None:
        raise InputError("--cutoff: comes with the basis of --run-file; give one of them")
    else:
        wanted = _with_target(read(run_file), run_file.parent, changes)
    if covariance:
        wanted = wanted.model_copy(update={"loss": LossOptions(covariance=1.0)})
    with within(str(run_file)) if run_file is not None else nullcontext():
        target_data = make_target_data(wanted, Path(), worker or partial(parts_of, threads=cores()))
    write_target(target_data.target, out, target_data.structures)
    of = counted(len(target_data.structures), "structure")
    what = f"of {of}" if wanted.target.alloy is None else f"({target_data.target.description})"
    return f"{out}: {target_data.target.n_environments} environments {what}; {', '.join(target_data.basis.elements)}"


def _with_target(run: RunFile, folder: Path, changes: Mapping[str, Any]) -> RunFile:
    """A run file with changes of its target, and file names that start where the program was started."""
    here = map_files(run, lambda _, name: str(folder / name))
    if "files" not in changes and here.target.stored is not None:
        raise InputError(f"{here.target.stored}: is a stored target already; name structure files for another one")
    update = {**changes, "kept_out": 0.0}  # all frames are stored
    if "files" in changes:
        alloy = here.target.alloy
        update |= {"stored": None, "alloy": alloy if alloy is not None and alloy.lattice == "file" else None}
    return here.model_copy(update={"target": here.target.model_copy(update=update)})


def _stored(run: RunFile, folder: Path) -> TargetData:
    path = folder / str(run.target.stored)
    target_data = TargetData.read(path)
    if run.basis != BasisOptions():
        wanted = make_basis(run.basis, folder, run.target, target_data.basis.elements)
        target_data.target.check_basis(wanted)
    return target_data


def _alloy(options: AlloyOptions, basis: Basis, structures: Sequence[Structure], covariance: bool) -> Target:
    sites = _sites_of(options, structures)
    lattice = to_atoms(sites, basis.elements)
    with within("target.alloy", "."):
        return Target.random_alloy(
            lattice,
            basis,
            options.composition,
            samples=options.samples,
            seed=options.seed,
            covariance=covariance,
            order=options.order,
        )


def _sites_of(options: AlloyOptions, structures: Sequence[Structure], cubic: bool = False) -> Structure:
    """One cell of an alloy's lattice; its species say nothing."""
    if options.lattice != "file":
        cell, fractional = named_lattice(options, cubic)
        return Structure(fractional @ cell, cell, np.zeros(len(fractional), np.int32), np.ones(3, np.bool_))
    if not structures:
        raise InputError('target.alloy.lattice: is "file", but target.files names none')
    return structures[0]


def alloy_lattice(options: TargetOptions, elements: Sequence[str], folder: Path, cubic: bool) -> Structure:
    """One cell of the lattice of [target.alloy]; of a named lattice the primitive or the conventional one.

    Raises
    ------
    InputError
        No such lattice, a file that cannot be read.
    """
    if options.alloy is None:
        raise InputError("target.alloy: is missing")
    entries = _read_target(options, elements, folder)[1] if options.alloy.lattice == "file" else []
    return _sites_of(options.alloy, [entry.structure for entry in entries], cubic)


def by_alloy(run: RunFile, folder: Path) -> tuple[RunFile, tuple[str, ...]]:
    """The run file with what its alloy decides written out, before the target is made; a line for each decision.

    Raises
    ------
    InputError
        No such lattice, a file that cannot be read, a composition that the cells cannot hold.
    """
    alloy = run.target.alloy
    if alloy is None:
        return run, ()
    if alloy.lattice != "file":
        return with_alloy_defaults(run, AlloyCell(*named_lattice(alloy), ""))
    _, entries = _read_target(run.target, run.basis.elements or None, folder)
    if not entries or not entries[0].structure.pbc.all():
        return run, ()  # without a period there are no supercells to choose from
    one = entries[0].structure
    parent = AlloyCell(one.cell, one.positions @ np.linalg.inv(one.cell), run.target.files[0])
    return with_alloy_defaults(run, parent)


def make_basis(
    options: BasisOptions, folder: Path, target: TargetOptions | None = None, elements: Sequence[str] = ()
) -> Basis:
    """The basis of a run file; elements come from the target where the options name none."""
    if options.yace is not None:
        if options != BasisOptions(yace=options.yace):
            raise InputError("basis.yace: the file says all; nothing else may be given in [basis]")
        from grs_evo.descriptors.yace.file import read_yace

        with within("basis.yace"):
            return read_yace(folder / options.yace)
    found = tuple(options.elements) or tuple(elements)
    if not found and target is not None:
        if target.files:
            with within("target.files"):
                if target.alloy is not None:
                    occupants = target.alloy.occupants
                    found, _ = read_sites(target.files, None, occupants, target.types, target.format, folder)
                else:
                    found = elements_of(target.files, target.types, target.format, folder, target.weights)
        elif target.alloy is not None:
            found = target.alloy.occupants
    with within("basis", "."):
        return build_basis(
            found,
            options.n_max,
            options.l_max,
            options.cutoff,
            options.lam,
            options.cutoff_in,
            options.taper_in,
            options.taper,
        )


def make_problem(run: RunFile, target_data: TargetData, folder: Path) -> Problem:
    """What the islands of a run work on; the same on every rank.

    Raises
    ------
    InputError
        Candidates that cannot be, a scale without reference, unknown objectives; the message names the key.
    """
    with threadpool_limits(1):
        islands = run.each_island()
        sources = _sources(run, target_data, islands, folder)
        _check_vacancies(target_data.basis, sources)
        try_plugged(target_data.structures, target_data.basis.elements)
        objective = make_objective(
            target_data.basis, target_data.target, run.loss, reference=_reference(run.loss, sources[0], run.seed)
        )
        lattices = _lattices(objective, sources)
    size_free = any(source.limits.size_free for source in sources) or len({s.limits.sizes for s in sources}) > 1
    signed = weights(run.loss)
    names = run.archive.objectives or default_objectives(objective.term_names, size_free, signed)
    archive = run.archive.model_copy(
        update={
            "objectives": check_objectives(names, objective.term_names, signed),
            "target_atoms": float(max(1, target_data.target.n_environments)),
        }
    )
    return Problem(
        elements=target_data.basis.elements,
        objective=objective,
        islands=islands,
        sources=sources,
        lattices=lattices,
        archive=archive,
        migration=run.migration,
        relax=run.relax,
        notes=(
            *without_effect(run, islands, sources),
            *_space_notes(sources),
            *_table_notes(objective, islands, sources),
            *_operator_notes(run, islands, sources, lattices),
        ),
    )


def _check_vacancies(basis: Basis, sources: Sequence[Source]) -> None:
    """Vacancies are sites without an atom, so the sites must stay."""
    if VACANCY in basis.elements and not all(source.limits.lattice for source in sources):
        raise InputError(
            f"candidates: {VACANCY} are vacancies, which need sites that stay: kind must be lattice or supercells, "
            "without rattle, [relax] and spatial operators"
        )


def _space_notes(sources: Sequence[Source]) -> tuple[str, ...]:
    """A word about candidates of which there are few."""
    counts = {id(source): source.max_structures for source in sources}
    return tuple(
        f"candidates: at most {count} structures are possible; once all are known, generations add none"
        for count in dict.fromkeys(counts.values())
        if count <= _FEW
    )


def _table_notes(objective: Objective, islands: Sequence[IslandOptions], sources: Sequence[Source]) -> tuple[str, ...]:
    """A word about lattices whose loss is not tabulated; InputError where an option needs the tables."""
    names = ", ".join(one.term.name for one in objective.added if one.term.on_sites is None)
    if not names or not any(source.one_lattice for source in sources):
        return ()
    if any(one.genetic.passes and source.one_lattice for one, source in zip(islands, sources, strict=True)):
        raise InputError(f"search.genetic.passes: needs a loss that is tabulated on the sites; loss.terms has {names}")
    return (f"loss.terms: {names} not tabulated on fixed sites; every structure is evaluated in full, which is slower",)


def _operator_notes(
    run: RunFile, islands: Sequence[IslandOptions], sources: Sequence[Source], lattices: Sequence[Any | None]
) -> tuple[str, ...]:
    """What the operators of each group of islands cannot do; InputError where they can do nothing."""
    groups = [k for k, group in enumerate(run.islands) for _ in range(group.count)] or [-1] * len(islands)
    notes: dict[str, None] = {}
    for group, options, source, lattice in zip(groups, islands, sources, lattices, strict=True):
        if not options.moves_by_operators(lattice is not None):
            continue
        where = "search.operators" if group < 0 else f"islands[{group}].operators"
        notes |= dict.fromkeys(check_operators(source.limits, options.operators, options.strategy, where))
    return tuple(notes)


def _sources(
    run: RunFile, target_data: TargetData, islands: Sequence[IslandOptions], folder: Path
) -> tuple[Source, ...]:
    made: dict[str, Source] = {}
    sources = []
    for options in islands:
        own = options.candidates
        wanted: CandidateOptions = own if own is not None else run.candidates
        moves = run.relax is not None or bool(options.operators.spatial)
        key = f"{moves} {wanted.model_dump_json()}"
        if key not in made:
            made[key] = bind(
                wanted,
                target_data.basis.elements,
                target_data.structures,
                spatial=True if moves else None,
                folder=folder,
                where="candidates" if own is None else "islands.candidates",
            )
        sources.append(made[key])
    return tuple(sources)


def _reference(options: LossOptions, source: Source, seed: int) -> list[Structure]:
    if options.scale not in ("reference", "whitened"):
        return []
    if source.one_lattice:
        one, n, rule = source.templates[0], len(source.elements), source.limits.composition
        return reference_structures(one, n, rule, source.limits.mask(one.n_atoms), _N_REFERENCE, seed)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x726566,)))
    drawn = (candidate(rng, source) for _ in range(_N_REFERENCE))
    return [one for one in drawn if one is not None]


def _lattices(objective: Objective, sources: Sequence[Source]) -> tuple[Any | None, ...]:
    made: dict[int, Any] = {}
    for source in sources:
        if id(source) not in made:
            made[id(source)] = None
            if source.one_lattice and objective.tabulated:
                mask = source.limits.mask(source.templates[0].n_atoms)
                one, *shapes = (
                    make_lattice_objective(objective, cell, mask) for cell in (source.templates[0], *source.shapes)
                )
                made[id(source)] = replace(one, shapes=tuple(shapes))
    return tuple(made[id(source)] for source in sources)


def with_objective(problem: Problem, objective: Objective) -> Problem:
    """The same problem with another loss, such as that of the next round."""
    with threadpool_limits(1):
        return replace(problem, objective=objective, lattices=_lattices(objective, problem.sources))


def rehearse(problem: Problem) -> None:
    """One small generation of each kind of island: compiles what will be needed, and finds out what cannot be.

    Rank 0 does it before the others begin, so that they load from the cache what it compiled.
    """
    done: set[str] = set()
    small = []
    for options in problem.islands:
        small.append(options.model_copy(update={"population": 2}))
    tiny = replace(problem, islands=tuple(small), sources=tuple(map(without_effort, problem.sources)))
    if isinstance(problem.relax, RelaxOptions):
        tiny = replace(tiny, relax=problem.relax.model_copy(update={"max_evaluations": 4, "stage_evaluations": 4}))
    for k, options in enumerate(problem.islands):
        kind = f"{options.model_dump_json()} {id(problem.sources[k])}"
        if kind not in done and len(done) < 8:
            done.add(kind)
            try:
                island.advance(island.start(tiny, k, 0), tiny)
            except NoCandidates:
                # After the few steps allowed here atoms may still be too close, which says nothing about the run.
                if tiny.relax is problem.relax and tiny.sources[k] is problem.sources[k]:
                    raise
