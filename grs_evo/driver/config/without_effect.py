"""Options of a run file that can have no effect beside its others, in a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from grs_evo.driver.config.run_file import RunFile
from grs_evo.options import Options
from grs_evo.potential.relaxation import JUDGED, RelaxOptions
from grs_evo.search.candidates.lattices.parents import PARENTS
from grs_evo.search.candidates.source import CandidateOptions, Source
from grs_evo.search.options import IslandOptions, WalkOptions
from grs_evo.search.population.representative_set import SetOptions


def changed(options: Options, *names: str) -> list[str]:
    """Which of these options (default: all) are given as something else than their default.

    Those that only repeat it are not spoken of: a run file written out in full has them all.
    """
    fields = type(options).model_fields
    given = [name for name in (names or fields) if name in options.model_fields_set]
    return [name for name in given if getattr(options, name) != fields[name].get_default(call_default_factory=True)]


def without_effect(run: RunFile, islands: Sequence[IslandOptions], sources: Sequence[Source]) -> tuple[str, ...]:
    """A line for each option that is given and has no effect.

    Parameters
    ----------
    islands, sources : of every island, as the search has them
    """
    notes: dict[str, None] = {}
    for options, source in zip(islands, sources, strict=True):
        where = "candidates" if options.candidates is None else "islands.candidates"
        for name, why in _of_candidates(source.options, source):
            notes[f"{where}.{name}: has no effect, {why}"] = None
        if source.shapes and not any(one.walk.symmetric > 0.0 for one in islands):
            notes[f"{where}.shapes: has no effect, search.walk.symmetric is 0"] = None
    for table, found in (
        ("relax", _of_relaxation(run.relax)),
        ("search", _of_search(run, islands, sources)),
        ("migration", _of_migration(run, islands)),
        ("set", _of_set(run.set)),
    ):
        notes.update(dict.fromkeys(f"{table}.{name}: has no effect, {why}" for name, why in found))
    if run.relax is not None and not run.relax.positions and run.relax.cell == "none":
        notes["relax: has no effect, positions is false and cell is 'none': nothing may move"] = None
    return tuple(notes)


Found = Iterator[tuple[str, str]]  # (option, why it has no effect)


def _of_candidates(options: CandidateOptions, source: Source) -> Found:
    kind = options.kind
    other = f"kind is {kind!r}"
    on_parent = "" if kind in ("lattice", "supercells") else other
    random = "" if kind == "random" else other
    on_sites = other if kind == "random" else ""
    still = "no atom moves" if source.limits.lattice else ""
    rule = next((name for name in ("counts", "fractions", "limits") if getattr(options, name) is not None), "")
    from_file = kind == "templates" or (not on_parent and options.lattice == "file")
    # option -> why it has no effect; empty where it has one
    reasons = {
        "lattice": on_parent,
        "file": "" if from_file else on_parent or f"lattice is {options.lattice!r}",
        "a": on_parent or _why_not_a(options),
        "c_over_a": on_parent or ("" if options.lattice == "hcp" else f"lattice is {options.lattice!r}"),
        "cubic": "lattice is 'file'" if options.lattice == "file" else "" if kind == "lattice" else other,
        "repeat": "" if kind == "lattice" else other,
        "sizes": "",
        "compact": "" if kind == "supercells" else other,
        "shape": random,
        "density": random,
        "volume": still,
        "contact": "min_distance is given" if options.min_distance is not None else "",
        "composition": f"{rule} is given" if rule else "",
        "sites": on_sites,
        "pinned": on_sites,
        "between": "" if kind == "templates" else other,
        "rattled": "" if options.rattle > 0 else "rattle is 0",
        "symprec": on_parent or ("" if options.lattice == "target" else f"lattice is {options.lattice!r}"),
    }
    if still and kind == "lattice":
        reasons["sizes"] = f"{other} and {still}; repeat says how many there are"
    elif still and kind == "templates":
        reasons["sizes"] = f"{other} and {still}"
    yield from _stated(options, reasons)


def _why_not_a(options: CandidateOptions) -> str:
    if options.lattice not in PARENTS:
        return f"lattice is {options.lattice!r}"
    return "" if options.number_density is None else "number_density is given"


def _of_relaxation(options: RelaxOptions | None) -> Found:
    if options is None:
        return
    recipe = "" if options.method == "recipe" else f"method is {options.method!r}"
    reasons = {
        "deltas": recipe,
        "stage_evaluations": recipe,
        "memory": "" if options.method in ("recipe", "lbfgs") else f"method is {options.method!r}",
        "goal": "" if options.use_goal else "use_goal is false",
        "precision": "" if options.max_evaluations > JUDGED else f"max_evaluations is {options.max_evaluations}",
        "max_volume_change": "" if options.cell in ("volume", "full") else f"cell is {options.cell!r}",
    }
    yield from _stated(options, reasons)


def _of_search(run: RunFile, islands: Sequence[IslandOptions], sources: Sequence[Source]) -> Found:
    """Options of islands, each only where it has no effect on any island that is given it."""
    notes: dict[str, set[str]] = {}
    used: set[str] = set()
    for options, source in zip(islands, sources, strict=True):
        reasons = {
            **_prefixed("genetic", options.genetic, _genetic_reasons(run, options, source)),
            **_prefixed("walk", options.walk, _walk_reasons(options, source)),
            **_prefixed("operators", options.operators, _operator_reasons(options)),
            **_prefixed("selection", options.selection, _selection_reasons(options)),
            **_prefixed("", options, _population_reasons(run, options)),
        }
        for name, why in reasons.items():
            notes.setdefault(name, set()).add(why)
            if not why:
                used.add(name)
    yield from ((name, " / ".join(sorted(whys))) for name, whys in notes.items() if name not in used)


def _prefixed(table: str, options: Options, reasons: dict[str, str]) -> dict[str, str]:
    """Of each given option with a condition, why it has no effect; empty where it has one."""
    before = f"{table}." if table else ""
    return {f"{before}{name}": reasons[name] for name in changed(options, *reasons)}


def _genetic_reasons(run: RunFile, options: IslandOptions, source: Source) -> dict[str, str]:
    if options.is_plugged:  # one from outside reads what it likes
        return dict.fromkeys(type(options.genetic).model_fields, "")
    genetic, by_strategy = options.genetic, f"strategy is {options.strategy!r}"
    evolves = options.strategy == "genetic"
    plus = genetic.survival == "plus" or options.selection.kind == "nsga2"
    bred = "" if evolves else by_strategy
    return {
        "elite": bred or ("parents and children compete" if plus else ""),
        "survival": bred or ("selection.kind is 'nsga2'" if options.selection.kind == "nsga2" else ""),
        "children": "" if options.strategy == "gradient" else bred or ("" if plus else "survival is 'generational'"),
        "relaxed": "" if run.relax is not None else "there is no [relax]",
        "passes": bred or ("" if source.one_lattice else "candidates are not on one lattice"),
    }


def _walk_reasons(options: IslandOptions, source: Source) -> dict[str, str]:
    if options.is_plugged:
        return dict.fromkeys(WalkOptions.model_fields, "")
    walk, strategy = options.walk, options.strategy

    def by(*strategies: str) -> str:
        return "" if strategy in strategies else f"strategy is {strategy!r}"

    off = "" if not source.one_lattice else "candidates are on one lattice"
    fixed = (
        "" if source.one_lattice and source.limits.composition.fixed else "it needs one lattice and fixed composition"
    )
    started = "t_start is given" if walk.t_start is not None else ""
    reasons = dict.fromkeys(WalkOptions.model_fields, by("annealing", "descent", "random_walk"))
    reasons |= dict.fromkeys(("steps", "t_start", "t_end"), by("annealing"))
    reasons |= dict.fromkeys(("t_share", "calibration"), by("annealing") or started)
    best = "" if walk.improvement == "best" else "improvement is 'first'"
    return {
        **reasons,
        "improvement": by("descent"),
        "accept": by("random_walk"),
        "several": by("annealing", "random_walk"),
        "at_once": by("annealing", "random_walk") or ("" if walk.several > 0 else "several is 0"),
        "kick": by("annealing", "descent"),
        "symmetric": by("annealing", "descent") or fixed,
        "patience": by("descent") or off,
        "sample": by("descent") or off or best,
    }


def _operator_reasons(options: IslandOptions) -> dict[str, str]:
    adaptive = "" if options.operators.adaptive else "adaptive is false"
    return {
        "crossover": "" if options.strategy == "genetic" or options.is_plugged else f"strategy is {options.strategy!r}",
        "floor": adaptive,
        "memory": adaptive,
    }


def _selection_reasons(options: IslandOptions) -> dict[str, str]:
    idle = "" if options.strategy == "genetic" or options.is_plugged else f"strategy is {options.strategy!r}"
    return {"kind": idle, "tournament": idle}


def _population_reasons(run: RunFile, options: IslandOptions) -> dict[str, str]:
    refreshed = "" if options.refresh > 0 else "refresh is 0"
    return {
        "carried": "" if run.set.rounds > 1 else "there is one round only (set.rounds)",
        "collapse": refreshed,
        "patience": refreshed,
    }


def _of_migration(run: RunFile, islands: Sequence[IslandOptions]) -> Found:
    options = run.migration
    alone = "there is one island" if len(islands) == 1 else ""
    none = "topology is 'none'" if options.topology == "none" else "" if options.emigrants else "emigrants is 0"
    idle = alone or none
    reasons = dict.fromkeys(("interval", "choice", "replace"), idle)
    reasons["emigrants"] = alone or ("topology is 'none'" if options.topology == "none" else "")
    reasons["topology"] = alone
    reasons["degree"] = idle or ("" if options.topology == "random" else f"topology is {options.topology!r}")
    yield from _stated(options, reasons)


def _of_set(options: SetOptions) -> Found:
    if not options.rounds:
        yield from _stated(options, dict.fromkeys(SetOptions.model_fields, "rounds is 0: there is no set"))
        return
    reasons: dict[str, str] = {
        "bootstrap_weight": "" if options.bootstrap == "merge" else f"bootstrap is {options.bootstrap!r}",
        "slack": "" if options.bootstrap == "none" else f"bootstrap is {options.bootstrap!r}",
    }
    if options.objective == "information":
        ranked = "objective is 'information'"
        reasons |= {"slack": ranked, "offered": f"{ranked}: all that islands have is offered"}
    else:
        reasons["information"] = "objective is 'moments'"
    yield from _stated(options, reasons)


def _stated(options: Options, reasons: dict[str, str]) -> Found:
    yield from ((name, reasons[name]) for name in changed(options, *reasons) if reasons[name])
