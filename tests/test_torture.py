"""Runs that are killed again and again, at bad moments, and resumed: they come to the same archive, and nobody hangs.

``python tests/test_torture.py 200 7`` does 200 kills with seed 7 and tells of each one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small

from grs_evo.storage.archive_file import read_archive

pytestmark = [
    pytest.mark.mpi,
    pytest.mark.skipif(shutil.which("mpiexec") is None, reason="no mpiexec: install the extra mpich or openmpi"),
]
# s; a process that is still there so long after a kill, or a session that lasts so long, hangs
_ORPHANS_LEAVE = 30
_PATIENCE = 240

CASES = {
    "lattice": small.LATTICE.replace("generations = 12", "generations = 60"),
    "set": small.LATTICE.replace("generations = 12", "generations = 6") + "[set]\nrounds = 6\npatience = 6\n",
    "shards": small.LATTICE.replace("generations = 12", "generations = 30").replace("islands = 5", "islands = 33"),
    "relaxed": small.RELAXED.replace("generations = 5", "generations = 10").replace(
        "generations = 2", "generations = 1"
    ),
}


class Session:
    """A `run` or `resume` under mpiexec, all of whose processes are known by a mark in their environment."""

    def __init__(self, folder: Path, n_ranks: int, *arguments: object) -> None:
        extra = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        self._mark = f"GRS_EVO_TORTURE={uuid.uuid4().hex}"
        extra |= dict([self._mark.split("=")])
        extra["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
        # no pipe: orphans that keep it open would look like a hang
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (read at the end)
        self.process = subprocess.Popen(
            ["mpiexec", "-n", str(n_ranks), sys.executable, "-m", "grs_evo", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, **extra},
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            start_new_session=True,
        )

    def members(self) -> dict[int, str]:
        """Processes of this session that run, as number: rank, "mpiexec" or "proxy"."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                environment = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if self._mark.encode() not in environment or stat[0] == "Z":
                continue
            names = (b"PMI_RANK=", b"OMPI_COMM_WORLD_RANK=")
            ranks = [one.partition(b"=")[2].decode() for one in environment if one.startswith(names)]
            if int(entry.name) == self.process.pid:
                found[int(entry.name)] = "mpiexec"
            elif ranks and b"grs_evo" in command:
                found[int(entry.name)] = ranks[0]
            else:
                found[int(entry.name)] = "proxy"
        return found

    def kill(self, victims: str) -> str:
        """SIGKILL to some of the processes, the others stopped meanwhile for the worst of orders."""
        members = self.members()
        ranks = sorted((role, pid) for pid, role in members.items() if role.isdigit())
        by_role = {
            "rank 0": [pid for role, pid in ranks if role == "0"],
            "another rank": [pid for role, pid in ranks if role != "0"][-1:],
            "all ranks": [pid for _, pid in ranks],
            "mpiexec": [self.process.pid],
            "proxy": [pid for pid, role in members.items() if role == "proxy"],
            "all": list(members),
            "all but rank 0": [pid for pid, role in members.items() if role != "0"],
        }
        chosen = by_role[victims] or [self.process.pid]
        if victims == "all but rank 0":
            for role, pid in ranks:
                if role != "0":
                    _send(pid, signal.SIGSTOP)
            time.sleep(0.3)
        for pid in chosen:
            _send(pid, signal.SIGKILL)
        return victims if by_role[victims] else f"mpiexec, for want of {victims}"

    def end(self, seconds: float) -> tuple[int, str]:
        """Exit code and output, once all processes have gone."""
        finish = time.monotonic() + seconds
        with self._errors:
            while self.process.poll() is None or self.members():
                if time.monotonic() > finish:
                    left = self.members()
                    for pid in left:
                        _send(pid, signal.SIGKILL)
                    raise AssertionError(f"still there after {seconds} s: {left}; {self._text()}")
                time.sleep(0.05)
            return self.process.returncode, self._text()

    def _text(self) -> str:
        self._errors.seek(0)
        return self._errors.read()


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _moments(out: Path, with_rounds: bool, rng: np.random.Generator) -> dict[str, Callable[[], bool]]:
    """When to kill, by name: each tells whether the moment has come, in the session about to begin."""
    begun = time.monotonic()
    pause = float(rng.uniform(0.1, 4.0))
    owner = _time_of(out / "owner.json")
    log = _text_of(out / "log.txt")
    rounds = log.count(" round ")
    saves = log.count("saved generation") + int(rng.integers(1, 20))
    moments = {
        "at any time": lambda: time.monotonic() - begun > pause,
        "at set-up or resuming": lambda: _time_of(out / "owner.json") != owner,
        "making the folder": lambda: any(out.parent.glob(f".{out.name}.new-*")),
        "saving": lambda: any((out / "checkpoints").glob(".*.part")) or any(out.glob(".archive.h5*")),
        "after a save": lambda: _text_of(out / "log.txt").count("saved generation") >= saves,
    }
    if out.exists():
        del moments["making the folder"]
    if with_rounds:
        moments["end of a round"] = lambda: _text_of(out / "log.txt").count(" round ") > rounds
    return moments


def _time_of(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


VICTIMS = ("rank 0", "another rank", "all ranks", "mpiexec", "proxy", "all", "all but rank 0")


def torture(folder: Path, n_kills: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> Counter[str]:
    """Kill and resume; returns how often each victim and each moment had its turn.

    Raises
    ------
    AssertionError
        A process stays, an error is told, or an archive differs from that of the undisturbed run.
    """
    rng = np.random.default_rng(seed)
    done: Counter[str] = Counter()
    kills = chain = 0
    expected: dict[str, str] = {}
    while kills < n_kills:
        case = str(rng.choice(list(CASES)))
        run_file = small.write(folder, CASES[case])
        if case not in expected:
            code, text = Session(folder, 1, "run", run_file, "--out", f"undisturbed-{case}").end(_PATIENCE)
            assert code == 0, text
            expected[case] = read_archive(folder / f"undisturbed-{case}").archive_hash
        out, chain = folder / f"chain{chain}", chain + 1
        for _ in range(int(rng.integers(1, 6))):
            hit = _one_kill(folder, run_file, out, rng, tell)
            if hit is None:
                break
            done.update(hit)
            kills += 1
        code, text = _session(folder, run_file, out, rng).end(_PATIENCE)
        assert code == 0, text
        assert read_archive(out).archive_hash == expected[case], f"another archive after kill {kills}, {case}"
        tell(f"chain {chain} ({case}): the same archive after {kills} kills")
        shutil.rmtree(out)
    return done


def _session(folder: Path, run_file: Path, out: Path, rng: np.random.Generator) -> Session:
    n_ranks = int(rng.integers(1, 4))
    return Session(folder, n_ranks, *(("resume", out) if out.exists() else ("run", run_file, "--out", out)))


def _one_kill(
    folder: Path, run_file: Path, out: Path, rng: np.random.Generator, tell: Callable[[str], None]
) -> tuple[str, str] | None:
    """Victim and moment of a kill, None when the run came to its end before the moment."""
    moments = _moments(out, "[set]" in run_file.read_text(), rng)
    moment, victim = str(rng.choice(list(moments))), str(rng.choice(VICTIMS))
    session = _session(folder, run_file, out, rng)
    begun = time.monotonic()
    come = moments[moment]
    while session.process.poll() is None and not come() and time.monotonic() - begun < _PATIENCE:
        time.sleep(0.0005)
    hit = session.process.poll() is None
    victim = session.kill(victim) if hit else "nobody: it had ended"
    code, text = session.end(_ORPHANS_LEAVE)
    tell(f"  {moment}, {victim}: {time.monotonic() - begun:.1f} s, code {code}")
    assert "Traceback" not in text, text
    assert code != 2, text
    assert not list(out.glob("failed_rank_*")), text
    return (victim, moment) if hit else None


@pytest.mark.long
def test_kills_lose_nothing(tmp_path: Path) -> None:
    torture(tmp_path, 6, seed=1)


@pytest.mark.torture
def test_two_hundred_kills_lose_nothing(tmp_path: Path) -> None:
    assert sum(torture(tmp_path, 200, seed=2).values()) >= 400


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        counts = torture(Path(place), int(sys.argv[1]), int(sys.argv[2]), lambda text: print(text, flush=True))
    print(dict(counts))
