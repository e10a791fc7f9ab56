"""`grs-evo select`: structures of a pool that teach most, written with their labels; and what each size leaves open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grs_evo.cli.files import check_place, format_option, symbols, types_option
from grs_evo.errors import EXIT_EARLY
from grs_evo.files import write_whole
from grs_evo.text import counted, table_of, to_json

if TYPE_CHECKING:
    from grs_evo.datasets.labels import Labelled
    from grs_evo.datasets.select import Selection

# Skipped structures of a kind that are named one by one.
_NAMED = 5


@click.command(short_help="Choose structures of a pool that teach a potential most.")
@click.argument("pool", nargs=-1, required=True)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="File to write, .extxyz.")
@click.option("--count", type=int, help="How much to take: structures.")
@click.option("--environments", type=int, help="Or: atoms of all together.")
@click.option("--cost", type=float, help="Or: the sum of (atoms of each)³, what DFT costs.")
@click.option(
    "--by",
    help="Default: clusters; with --per stratified. Or information, moments, coverage, distance, random.",
)
@click.option("--target", multiple=True, metavar="FILE", help="What the set is to stand for, if not the pool.")
@click.option("--given", multiple=True, metavar="FILE", help="Structures that are in the set already.")
@click.option("--per", "groups", metavar="KEY", help="Take of each group its share; a key of the structures' info.")
@click.option("--cutoff", type=float, help="Cutoff of the linear model in Å. Default: twice the nearest distance.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of draws.")
@types_option
@format_option
@click.option("--threads", type=click.IntRange(1), help="Threads that describe. Default: one per core.")
@click.option("--json", "json_", is_flag=True, help="For programs.")
def select(
    pool: tuple[str, ...],
    out: Path,
    count: int | None,
    environments: int | None,
    cost: float | None,
    by: str | None,
    target: tuple[str, ...],
    given: tuple[str, ...],
    groups: str | None,
    cutoff: float | None,
    seed: int,
    types: str | None,
    format_: str | None,
    threads: int | None,
    json_: bool,
) -> None:
    """Choose from a POOL of structures those that teach a potential most: training data in fewer environments.

    Labels are not needed. What files say of the chosen ones (energy, forces, stress, group) is kept. Under mpiexec the
    ranks share the work; the answer is the same.
    """
    from grs_evo.datasets.select import select as select_
    from grs_evo.driver.sets.sharing import all_ranks

    kinds = symbols(types or "")
    with _nothing_chosen(), all_ranks(threads) as ranks:
        check_place(out, (".extxyz", ".xyz"), "selections are written as extended XYZ", (*pool, *target, *given))
        read = [list(_each(names, kinds, format_, ranks.poll)) for names in (pool, target, given)]
        found = select_(
            read[0],
            count=count,
            environments=environments,
            cost=cost,
            by=by or ("clusters" if groups is None else "stratified"),
            target=read[1] or None,
            given=read[2] or None,
            cutoff=cutoff,
            groups=groups,
            seed=seed,
            describe=ranks.describe,
            poll=ranks.poll,
        )
        write_selection(found, out)
        click.echo(to_json(as_dict(found), indent=1) if json_ else text_of(found, len(read[0])))
        if found.interrupted:
            raise SystemExit(EXIT_EARLY)


@contextmanager
def _nothing_chosen() -> Iterator[None]:
    """A signal before the first choice leaves nothing to keep: says so."""
    try:
        yield
    except KeyboardInterrupt:
        from grs_evo.driver.sets.sharing import INTERRUPTED  # loaded by then

        click.echo("grs-evo: select: interrupted before anything was chosen; nothing is written", err=True)
        raise SystemExit(INTERRUPTED) from None  # other ranks have been told


def _each(
    names: Sequence[str], types: Sequence[str], format_: str | None, poll: Callable[[], None]
) -> Iterator[Labelled]:
    """Structures of files, looking for signals in between."""
    from grs_evo.datasets.labels import read_labelled

    for one in read_labelled(names, types, format_):
        poll()
        yield one


def write_selection(selection: Selection, path: Path) -> None:
    """The chosen structures as extended XYZ, in the order of choice.

    Each keeps energy, forces, stress, group and what else its file said of the whole structure, and says which of the
    pool it is (``grs_pool_index``, ``grs_pool_source``).

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    from grs_evo.datasets.labels import as_text

    atoms = []
    for index, one in zip(selection.indices, selection.chosen, strict=True):
        copy = one.atoms.copy()
        copy.calc = one.atoms.calc
        copy.info["grs_pool_index"] = index
        copy.info["grs_pool_source"] = one.source
        if one.group:
            copy.info.setdefault("group", one.group)
        atoms.append(copy)
    write_whole(path, as_text(atoms).encode())


def text_of(selection: Selection, n_pool: int) -> str:
    """What was chosen, what each size leaves open, and what was skipped."""
    rows = [
        [
            str(one.structures),
            str(one.environments),
            f"{one.cost:.4g}",
            f"{one.energy:.3g}",
            f"{one.forces:.3g}",
            f"{100 * one.coverage:.0f} %",
            f"{one.moments:.2g}",
        ]
        for one in selection.sizes
    ]
    head = ["structures", "environments", "Σ n³", "energies", "forces", "near", "mean off"]
    note = f" ({'; '.join(selection.notes)})" if selection.notes else ""
    lines = [
        f"{counted(len(selection.indices), 'structure')} of {n_pool}, {selection.n_environments} environments, "
        f"by {selection.rule}{note}",
        "",
        table_of(rows, head),
        "",
        "energies, forces: predicted variance of the target's, over that with the whole pool (1: nothing to add)",
        "near: share of the target with a chosen structure beside it; mean off: in standard deviations of the target",
    ]
    copies = set(selection.duplicates)
    lines += _skipped("cannot be used", [one for one in selection.skipped if one[0] not in copies])
    lines += _skipped("duplicates", [one for one in selection.skipped if one[0] in copies])
    return "\n".join(lines)


def _skipped(what: str, skipped: Sequence[tuple[int, str, str]]) -> list[str]:
    if not skipped:
        return []
    lines = [f"skipped, {what}: {counted(len(skipped), 'structure')}"]
    lines += [f"  {source}: {why}" for _, source, why in skipped[:_NAMED]]
    if len(skipped) > _NAMED:
        lines.append(f"  and {len(skipped) - _NAMED} more")
    return lines


def as_dict(selection: Selection) -> dict[str, Any]:
    """For programs."""
    return {
        "rule": selection.rule,
        "indices": list(selection.indices),
        "sources": [one.source for one in selection.chosen],
        "sizes": [vars(one) for one in selection.sizes],
        "skipped": [{"index": k, "source": source, "why": why} for k, source, why in selection.skipped],
        "duplicates": list(selection.duplicates),
        "notes": list(selection.notes),
    }
