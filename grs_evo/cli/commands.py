"""The command line. User errors end with one line and exit code 2; a programmer's error on any rank ends them all."""

from __future__ import annotations

import io
import os
import sys
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from grs_evo import __version__
from grs_evo.cli.files import format_option, numbers, symbols, types_option
from grs_evo.cli.help.guide import guide
from grs_evo.cli.help.init import init
from grs_evo.cli.help.plot import plot
from grs_evo.cli.help.refused import refused
from grs_evo.cli.label import label
from grs_evo.cli.output.alloy import alloy
from grs_evo.cli.output.export import export
from grs_evo.cli.refit import refit
from grs_evo.cli.select import select
from grs_evo.errors import InputError, RankExit, StorageError, exit_code_of, names_refused
from grs_evo.interrupts import SET_UP, Interrupted
from grs_evo.text import to_json

if TYPE_CHECKING:
    from grs_evo.descriptors.basis import Basis
    from grs_evo.driver.monitor.console import Display


# Of a session, whether it begins a run or goes on with one.
_max_time_option = click.option("--max-time", help="End this session after so long, with a checkpoint: 90s, 50m, 1.5h.")
_progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "panel", "line", "lines"]),
    default="auto",
    help="How the screen shows it: a panel, one line written over, or lines. auto: a panel on a terminal, also below "
    "mpiexec; else lines.",
)
_quiet_option = click.option("--quiet", is_flag=True, help="Nothing on the screen but errors.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="grs-evo")
def cli() -> None:
    """Evolutionary search for representative structures.

    Begin with `grs-evo init`, which lists kinds of runs and writes a run file, or read `grs-evo guide first-run`.
    """


@cli.command()
@click.argument("run_file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Run folder, new or empty. Default: the run file's name.")
@click.option("--seed", type=int, help="Instead of the seed in the run file.")
@_max_time_option
@_progress_option
@_quiet_option
def run(
    run_file: Path, out: Path | None, seed: int | None, max_time: str | None, progress: Display, quiet: bool
) -> None:
    """Begin a run. Under mpiexec its islands are shared out over the ranks.

    Exit codes: 0 finished; 2 something given is wrong; 3 finished, but the representative set is short of set.count or
    set.environments; 74 the run folder cannot be written; 75 stopped early, `grs-evo resume` goes on.
    """
    limit = _heard_in_set_up(out if out is not None else run_file.parent / run_file.stem, max_time)
    from grs_evo.driver.session import run as run_

    sys.exit(run_(run_file, out, seed=seed, max_time=limit, quiet=quiet, progress=progress).exit_code)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@_max_time_option
@click.option("--extend", multiple=True, metavar="KEY=VALUE", help="Change a stop rule, e.g. stop.generations=500.")
@click.option(
    "--same-machine", is_flag=True, help="Refuse where processor or numerical libraries are others than at the start."
)
@_progress_option
@_quiet_option
def resume(
    folder: Path, max_time: str | None, extend: tuple[str, ...], same_machine: bool, progress: Display, quiet: bool
) -> None:
    """Go on with a run, on any number of ranks."""
    limit = _heard_in_set_up(folder, max_time)
    from grs_evo.driver.session import resume as resume_

    result = resume_(
        folder,
        max_time=limit,
        extend=extend,
        same_machine=same_machine,
        quiet=quiet,
        progress=progress,
    )
    sys.exit(result.exit_code)


@cli.command(short_help="Write one page about a run that opens offline.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="HTML file. Default: report.html in the run folder.")
@click.option("--title", help="Heading of the page. Default: the folder's name.")
def report(folder: Path, out: Path | None, title: str | None) -> None:
    """Write one HTML page about a run (folder or archive) that opens offline."""
    from grs_evo.report.report import write_report
    from grs_evo.storage.archive_file import lacks_seal

    if notice := lacks_seal(folder):
        click.echo(f"grs-evo: {notice}", err=True)
    click.echo(str(write_report(folder, out, title)))


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "json_", is_flag=True, help="For programs.")
def status(folder: Path, json_: bool) -> None:
    """Show how far a run has come, live or ended."""
    from grs_evo.cli.status import status as status_
    from grs_evo.cli.status import text_of

    found = status_(folder)
    click.echo(to_json(found, indent=1, sort_keys=True) if json_ else text_of(found))


@cli.command()
@click.argument("run_file", type=click.Path(path_type=Path))
@click.option("--json", "json_", is_flag=True, help="For programs.")
@click.option("--brief", is_flag=True, help="Without the list of settings.")
def check(run_file: Path, json_: bool, brief: bool) -> None:
    """Show what a run file asks for, before anything starts."""
    from grs_evo.cli.check import check as check_
    from grs_evo.cli.check import text_of

    found = check_(run_file)
    click.echo(to_json(found, indent=1) if json_ else text_of(found, settings=not brief))


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--wait", default=30.0, help="Wait so many seconds for the run to end.", show_default=True)
def stop(folder: Path, wait: float) -> None:
    """End a run that is going on, with a checkpoint."""
    from grs_evo.files import write_whole
    from grs_evo.storage.run_folder import existing, is_alive

    found = existing(folder)
    if not is_alive(found):
        raise InputError(f"{folder}: this run is not going on; there is nothing to stop")
    write_whole(found.stop_request, b"stop\n")
    end = time.monotonic() + wait
    while is_alive(found) and time.monotonic() < end:
        time.sleep(0.1)
    click.echo(f"{folder}: " + ("asked to stop, still at it" if is_alive(found) else "stopped"))


@cli.command(short_help="List the functions of a run file's basis or a .yace file.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--elements", help="Instead of a file: symbols, e.g. Au,Cu; the rest of the basis as the default.")
@click.option("--n-max", help="With --elements: radial functions for ranks 1, 2, …, e.g. 8,2,2,1.")
@click.option("--l-max", help="With --elements: highest l for ranks 1, 2, …, e.g. 0,2,2,1.")
@click.option("--cutoff", type=float, help="With --elements: cutoff of all pairs in Å.")
def basis(file: Path | None, elements: str | None, n_max: str | None, l_max: str | None, cutoff: float | None) -> None:
    """List the descriptor functions of a run file's basis, or those in a .yace file, with their labels."""
    from grs_evo.descriptors.basis import build_basis, format_labels
    from grs_evo.descriptors.options import BasisOptions

    limits = {"--n-max": n_max, "--l-max": l_max, "--cutoff": cutoff}
    if (file is None) == (elements is None):
        raise InputError("basis: give either a run file or .yace file, or --elements such as Au,Cu")
    if file is not None:
        for option, value in limits.items():
            if value is not None:
                raise InputError(f"basis: {option} goes with --elements; {file} says it all")
        made = _basis_of(file)
    else:
        usual = BasisOptions()
        made = build_basis(
            symbols(elements or ""),
            _whole_numbers("--n-max", n_max) or usual.n_max,
            _whole_numbers("--l-max", l_max) or usual.l_max,
            cutoff,
        )
    click.echo(format_labels(made))


def _basis_of(file: Path) -> Basis:
    if file.suffix == ".yace":
        from grs_evo.descriptors.yace.file import read_yace

        return read_yace(file)
    from grs_evo.driver.config.run_file import read
    from grs_evo.driver.setup import make_basis

    given = read(file)
    return make_basis(given.basis, file.parent, given.target)


def _whole_numbers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise InputError(f"{option}: is {text!r}; it must be integers, one per rank, such as 8,2,2,1") from None


@cli.command(short_help="Describe structure files and store the target.")
@click.argument("structures", nargs=-1)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="File to write, e.g. target.h5.")
@click.option(
    "--run-file",
    type=click.Path(path_type=Path),
    help="Take basis, loss and [target] from here; what is given on the command line counts instead.",
)
@click.option("--cutoff", type=float, help="Cutoff of all pairs in Å, when there is no run file.")
@click.option("--covariance", is_flag=True, help="Keep the full covariance as well.")
@types_option
@format_option
@click.option(
    "--weights", multiple=True, metavar="GROUP=NUMBER", help="Weight of every environment of a group; others count 1."
)
@click.option("--threads", type=click.IntRange(1), help="Threads that share large structures. Default: one per core.")
def target(
    structures: tuple[str, ...],
    out: Path,
    run_file: Path | None,
    cutoff: float | None,
    covariance: bool,
    types: str | None,
    format_: str | None,
    weights: tuple[str, ...],
    threads: int | None,
) -> None:
    """Describe structure files (FILE, FILE@0:100:10, FILE::10 for every tenth) and store the target.

    Without files, the target of the run file is stored, such as a random alloy.
    """
    from grs_evo.driver.session import target as target_of

    click.echo(
        target_of(
            structures,
            out,
            threads=threads,
            run_file=run_file,
            cutoff=cutoff,
            covariance=covariance,
            types=symbols(types or ""),
            format=format_,
            weights=numbers("--weights", weights),
        )
    )


@cli.command(short_help="Tell how well structures stand for a target, and what is off.")
@click.argument("structures", nargs=-1, required=True)
@click.option("--target", "target_", required=True, type=click.Path(path_type=Path), help="target.h5 or a run folder.")
@click.option(
    "--functions",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="List so many functions that are most off.",
)
@click.option("--given", multiple=True, metavar="FILE", help="Say what is new against the structures of these files.")
@click.option("--set", "as_set", is_flag=True, help="Only what all of them cover of the target as one set.")
@types_option
@format_option
@click.option("--json", "json_", is_flag=True, help="For programs.")
def score(
    structures: tuple[str, ...],
    target_: Path,
    functions: int,
    given: tuple[str, ...],
    as_set: bool,
    types: str | None,
    format_: str | None,
    json_: bool,
) -> None:
    """Tell how well structures (FILE, FILE@-1, FILE::10 for every tenth) stand for a target, and what is off.

    Of several the last lines tell what they cover of the target together.
    """
    from grs_evo.cli.score import scores, text_of, text_of_set, together

    kinds = symbols(types or "")
    if not as_set:
        found = scores(structures, target_, functions, kinds, format_, given)
        click.echo(to_json(found, indent=1) if json_ else text_of(found))
        if json_ or len(found) == 1:
            return
    whole = together(structures, target_, kinds, format_, given)
    click.echo(to_json(whole, indent=1) if json_ else text_of_set(whole))


@cli.command(short_help="Compile what runs need now, for images and large jobs.", name="warm-up")
@click.argument("kinds", nargs=-1)
@click.option(
    "--share", type=click.IntRange(0), help="The number of this process, where others do the same without a launcher."
)
def warm_up(kinds: tuple[str, ...], share: int | None) -> None:
    """Compile what runs need now, on this kind of processor, for images of containers and before large jobs.

    KINDS: lattice rows relaxed networks positions large mixed; without them all but mixed. Compiled code goes to the
    folder in force (NUMBA_CACHE_DIR, or your cache folder), and runs load it from there. Processes of mpiexec or srun
    share the work, and so do the cores of one machine.
    """
    from grs_evo.driver.ahead.warm_up import warm_up as warm_up_

    warm_up_(kinds, share=share, say=click.echo)


cli.add_command(guide)
cli.add_command(init)
cli.add_command(export)
cli.add_command(alloy)
cli.add_command(plot)
cli.add_command(select)
cli.add_command(refit)
cli.add_command(label)


def _heard_in_set_up(place: Path, max_time: str | None) -> float | None:
    """Let the clock and signals know what they are about, before imports that take a second; returns --max-time in s.

    Parameters
    ----------
    place : the run folder, where they look whether there is something to go on with
    """
    from grs_evo.options import seconds_of

    limit = None if max_time is None else seconds_of(max_time)
    SET_UP.is_about(str(place), limit)
    return limit


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `grs-evo` and `python -m grs_evo`."""
    # One thread per rank: ranks are the parallelism. Before numpy is imported, which the commands do.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    code: Any = 1
    told = _Warnings()
    try:
        with warnings.catch_warnings(), names_refused():
            warnings.showwarning = told.show
            _print_any_name()
            cli.main(args=arguments, prog_name="grs-evo", standalone_mode=False)
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else int(done.code is not None)
    except click.exceptions.Abort:
        code = 130
        _end_all_ranks(code, "was interrupted")
    except click.ClickException as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            error.show()
        else:
            _to_stderr(f"grs-evo: {refused(error)}")
        code = error.exit_code
    except (InputError, StorageError) as error:
        _complain(error)
        code = exit_code_of(error)
    except RankExit as error:
        code = error.code
    except Interrupted as stop:
        if not SET_UP.told:
            SET_UP.told = True
            _complain(stop)
        code = stop.code
    except KeyboardInterrupt:
        code = 130
        _end_all_ranks(code, "was interrupted")
    except BaseException as error:
        code = _crash(error)
    told.tell_rest()
    with suppress(OSError):  # nobody reads it any more
        sys.stdout.flush()
    sys.exit(code)


def _print_any_name() -> None:
    """File names may hold bytes that are no text: print them as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


# Warnings of one kind that are shown; a data set may give cause for thousands.
_MOST_WARNINGS = 5


class _Warnings:
    """Warnings for the user: what they say, without the line of source that Python adds; the first few of each kind."""

    def __init__(self) -> None:
        self._count: Counter[type[Warning]] = Counter()
        self._last: dict[type[Warning], str] = {}

    def show(self, message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        self._count[category] += 1
        if self._count[category] <= _MOST_WARNINGS:
            self._last[category] = " ".join(str(message).split())
            _to_stderr(f"grs-evo: warning: {self._last[category]}")

    def tell_rest(self) -> None:
        """Say how many were not shown, and what they are like."""
        for category, count in self._count.items():
            if count > _MOST_WARNINGS:
                _to_stderr(f"grs-evo: warning: {count - _MOST_WARNINGS} more such as: {self._last[category]}")


def _complain(error: BaseException) -> None:
    text = " ".join(str(error).split())
    if text:  # of many processes one speaks
        _to_stderr(f"grs-evo: {text}")


def _to_stderr(text: str) -> None:
    """A line to the screen; where there is none any more, the exit code has to do."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _crash(error: BaseException) -> int:
    """A rank that fails while others wait must end them too, or they hang."""
    if not isinstance(error, BrokenPipeError):  # as when the output goes to `head`
        told = "".join(traceback.format_exception(error)).rstrip()
        if "mpi4py" in sys.modules:  # it may be that another rank is gone
            from grs_evo.parallel.communicator import broken_off

            told = broken_off(error) or told
        _to_stderr(told)
    _end_all_ranks(1, "failed")
    return 1


def _end_all_ranks(code: int, why: str) -> None:
    if "mpi4py" in sys.modules:
        from grs_evo.parallel.communicator import abort_all

        abort_all(code, why)
