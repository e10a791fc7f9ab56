"""Runs whose writes, flushes and renames fail, or that a power cut ends: none comes to a wrong archive.

``python tests/faults.py 1000 7`` tries 1,000 faults with seed 7; it compiles the shim, starts itself again under it
and forks a process for each fault, so that nothing is imported or compiled twice.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import small

HERE = Path(__file__).parent
WRITE, FSYNC, RENAME = 1, 2, 4
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR, "ESTALE": errno.ESTALE, "cut": 0}
KINDS = {"write": WRITE, "fsync": FSYNC, "rename": RENAME}
# s; a run takes a fraction of one
_PATIENCE = 120
_GENERATIONS = 6
RUN = small.LATTICE.replace("generations = 12", f"generations = {_GENERATIONS}").replace("islands = 5", "islands = 2")


def compiler() -> str | None:
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def compiled(folder: Path) -> Path:
    """The shim as a shared library."""
    library = folder / "faults.so"
    command = [str(compiler()), "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "faults.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


def tried(count: int, seed: int, sharded: bool = False) -> dict[str, object]:
    """Counts of what became of faults, from a process under the shim.

    Parameters
    ----------
    sharded : whether the states are in shards beside the checkpoints, as in runs of many islands
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "LD_PRELOAD": str(compiled(Path(folder)))}
        done = subprocess.run(
            [sys.executable, __file__, "--inside", str(count), str(seed), str(int(sharded))],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(done.stdout)
    return dict(json.loads(done.stdout.splitlines()[-1]))


# ---------------------------------------------------------------------------------------------------------------------
# under the shim


class Bench:
    """Where faults are tried, and what an undisturbed run comes to."""

    def __init__(self, place: Path, sharded: bool) -> None:
        self.place = place
        self.sharded = sharded
        self.shim = ctypes.CDLL(None)
        self.shim.fault_seen.restype = ctypes.c_long
        self.run_file = small.write(place, RUN)
        self.journal = place / "journal"
        self.calls: dict[tuple[str, str], int] = {}
        self.disk = place / "disk"
        self.half = place / "half"
        self.expected = ""
        self.content: dict[int, bytes] = {}  # of files that are on disk, by inode
        self.entries: dict[int, list[tuple[int, bool, str]]] = {}  # of folders: inode, whether a folder, name

    def prepare(self) -> None:
        from grs_evo.driver.ranks import startup
        from grs_evo.driver.session import run

        if self.sharded:
            startup.SHARDED_ISLANDS = startup.SHARDED_RANKS = 1
        # here, so that the forked processes have all modules and compiled functions
        run(self.run_file, self.place / "warm", quiet=True)
        self.disk.mkdir()
        assert self.call("run", self.run_file, "--out", self.disk / "case") == 0, self.said()
        self.expected = self.hash(self.disk)
        short = self.place / "short.toml"
        short.write_text(RUN.replace(f"generations = {_GENERATIONS}", "generations = 2"))
        self.half.mkdir()
        assert self.call("run", short, "--out", self.half / "case") == 0, self.said()
        for what in ("run", "resume"):
            for name, kind in KINDS.items():
                self.begin(what)
                self.call(*self.command(what), arm=(kind, 10**9, 0, errno.EIO))
                self.calls[what, name] = int((self.place / "seen").read_text())
                assert self.hash(self.disk) == self.expected, "resumed, the run comes to another archive"

    def begin(self, what: str) -> None:
        shutil.rmtree(self.disk)
        shutil.copytree(self.half, self.disk) if what == "resume" else self.disk.mkdir()
        # all of that is on disk
        self.content, self.entries = {}, {}
        for path in (self.disk, *self.disk.rglob("*")):
            number = path.stat().st_ino
            if path.is_dir():
                self.entries[number] = [(one.stat().st_ino, one.is_dir(), one.name) for one in path.iterdir()]
            else:
                self.content[number] = path.read_bytes()
        shutil.rmtree(self.journal, ignore_errors=True)
        self.journal.mkdir()

    def command(self, what: str) -> tuple[object, ...]:
        if what == "run":
            return ("run", self.run_file, "--out", self.disk / "case")
        return ("resume", self.disk / "case", "--extend", f"stop.generations={_GENERATIONS}")

    def call(self, *arguments: object, arm: tuple[int, int, int, int] | None = None) -> int:
        """The command line in a forked process; its exit code, -1 when it hangs."""
        child = os.fork()
        if child == 0:
            self._child(list(map(str, arguments)), arm)
        end = time.monotonic() + _PATIENCE
        while True:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                os.kill(child, 9)
                os.waitpid(child, 0)
                return -1
            time.sleep(0.005)

    def _child(self, arguments: list[str], arm: tuple[int, int, int, int] | None) -> None:
        from grs_evo.cli.commands import main

        code = 1
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            out = os.open(self.place / "said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1), os.dup2(out, 2)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
            if arm is not None:
                kind, first, times, number = arm
                self.shim.fault_arm(
                    str(self.disk).encode(),
                    kind,
                    ctypes.c_long(first),
                    ctypes.c_long(times),
                    number,
                    str(self.journal).encode(),
                )
            main(arguments)
        except SystemExit as left:
            code = int(left.code or 0)
        finally:
            (self.place / "seen").write_text(str(self.shim.fault_seen()))
            sys.stderr.flush()
            os._exit(code)

    def said(self) -> str:
        return (self.place / "said").read_text()

    def hash(self, disk: Path) -> str:
        from grs_evo.search.population.archive import archive_hash
        from grs_evo.storage.archive_file import read_archive

        return archive_hash(read_archive(disk / "case").individuals)

    # -- one fault -----------------------------------------------------------------------------------------------------

    def fault(self, rng: np.random.Generator) -> tuple[str, str, str]:
        """Try one: what was done, what became of it, and what was wrong about that."""
        what = str(rng.choice(["run", "resume"]))
        name = str(rng.choice(list(KINDS)))
        error = str(rng.choice(list(ERRORS)))
        first = int(rng.integers(1, self.calls[what, name] + 1))
        times = int(rng.choice([1, 1, 2, 10**6]))
        self.begin(what)
        code = self.call(*self.command(what), arm=(KINDS[name], first, times, ERRORS[error]))
        done = f"{what}: {error} at {name} {first} of {self.calls[what, name]}, {times} times: exit {code}"
        said = self.said()
        if code == -1:
            return done, "hung", "hung"
        if "Traceback" in said:
            return done, "traceback", said
        saved = self._saved()
        if error == "cut":
            if code not in (0, 137):
                return done, "ended", f"exit {code}: {said}"
            self._lose_what_was_not_flushed()
        elif code not in (0, 74, 2):
            return done, "ended", f"exit {code}: {said}"
        elif code and said.strip().count("grs-evo: ") != 1:
            return done, "ended", f"not one line: {said}"
        if code == 0 and error != "cut" and self.hash(self.disk) != self.expected:
            return done, "finished", "finished with another archive"
        return done, *self._gone_on(saved, f"exit {code}")

    def _saved(self) -> int:
        """The last generation that the run said it had saved."""
        try:
            lines = (self.disk / "case" / "log.txt").read_text(errors="replace").splitlines()
        except OSError:
            return -1
        found = [int(line.rpartition(" ")[2]) for line in lines if " saved generation " in line]
        return max(found, default=-1)

    def _gone_on(self, saved: int, ended: str) -> tuple[str, str]:
        """Go on without faults: the same archive, from the last generation saved or the one before."""
        from grs_evo.storage import checkpoint

        folder = self.disk / "case"
        if not (folder / "run.toml").exists():
            wrong = "a saved run is gone" if saved >= 0 else ""
            left = [path.name for path in self.disk.iterdir()] if self.disk.exists() else []
            if self.call("run", self.run_file, "--out", folder) != 0 or self.hash(self.disk) != self.expected:
                wrong = f"cannot be begun again beside {left}: {self.said()}"
            return f"{ended}, begun anew", wrong
        point = checkpoint.newest(folder / "checkpoints", lambda _: None)
        if (-1 if point is None else point.step) < saved:
            return ended, f"generation {saved} was saved, {-1 if point is None else point.step} is left"
        if self.call(*self.command("resume")) != 0:
            return ended, f"cannot be resumed: {self.said()}"
        return f"{ended}, resumed", "" if self.hash(self.disk) == self.expected else "resumed to another archive"

    def _lose_what_was_not_flushed(self) -> None:
        """Put the disk into the state after a power cut: what fsync was called for, and what was there before."""
        content, entries = dict(self.content), dict(self.entries)
        root = self.disk.stat().st_ino
        for file in sorted(self.journal.iterdir(), key=lambda path: int(path.name.partition("-")[0])):
            number = int(file.name.partition("-")[2])
            head, _, rest = file.read_bytes().partition(b"\n")
            if head == b"content":
                content[number] = rest
            else:
                rows = [row.split(" ", 2) for row in rest.decode().splitlines()]
                entries[number] = [(int(ino), folder == "1", name) for ino, folder, name in rows]
        shutil.rmtree(self.disk)
        self._restore(self.disk, root, content, entries)

    def _restore(
        self, path: Path, number: int, content: dict[int, bytes], entries: dict[int, list[tuple[int, bool, str]]]
    ) -> None:
        path.mkdir()
        for one, is_folder, name in entries.get(number, []):
            if is_folder:
                self._restore(path / name, one, content, entries)
            else:
                (path / name).write_bytes(content.get(one, b""))


def inside(count: int, seed: int, sharded: bool) -> dict[str, object]:
    """Under the shim: try faults; counts, and whatever was wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    became: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder).resolve(), sharded)
        bench.prepare()
        for number in range(count):
            done, end, fault = bench.fault(np.random.default_rng([seed, number]))
            became[end] += 1
            if fault:
                wrong.append(f"{number}: {done}: {fault}")
                print(wrong[-1], file=sys.stderr, flush=True)
            if number % 50 == 49:
                print(f"{number + 1} faults", file=sys.stderr, flush=True)
    return {
        "faults": count,
        "became": dict(became),
        "wrong": wrong,
        "calls": {" ".join(k): n for k, n in bench.calls.items()},
    }


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        print(json.dumps(inside(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")))
    else:
        print(json.dumps(tried(int(sys.argv[1]), int(sys.argv[2])), indent=1))
