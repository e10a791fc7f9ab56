"""Scripts for batch systems that begin a run, or go on with it, from whatever folder they are submitted."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from grs_evo.errors import InputError

# What differs between batch systems. Each asks for SIGUSR1 or SIGTERM before the time is up: the run then saves, and
# ends with code 75, upon which the job is queued anew.
_HEADS = {
    "slurm": """\
#SBATCH --job-name={name}
#SBATCH --output={log}.%j.log
#SBATCH --open-mode=append
#SBATCH --ntasks={ranks}
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=2G
#SBATCH --time={hours:02d}:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue""",
    "pbs": """\
#PBS -N {name}
#PBS -o {log}.log
#PBS -j oe
#PBS -l select=1:ncpus={ranks}:mpiprocs={ranks}:mem={memory}gb
#PBS -l walltime={hours:02d}:00:00
#PBS -r y""",
    "lsf": """\
#BSUB -J {name}
#BSUB -o {log}.%J.log
#BSUB -n {ranks}
#BSUB -R "span[hosts=1] rusage[mem=2GB]"
#BSUB -W {hours:02d}:00
#BSUB -r""",
}
_STARTERS = {"slurm": "srun", "pbs": "mpiexec -n {ranks}", "lsf": "mpiexec -n {ranks}"}
_AGAIN = {
    "slurm": 'scontrol requeue "$SLURM_JOB_ID"',
    "pbs": 'qsub "$here/{script}"',
    "lsf": 'bsub < "$here/{script}"',
}
SCHEDULERS = tuple(_HEADS)
_SUBMIT = {"slurm": "sbatch", "pbs": "qsub", "lsf": "bsub <"}


@dataclass(frozen=True)
class Job:
    """A run as a job."""

    run_file: Path
    ranks: int = 4
    hours: int = 12

    @property
    def folder(self) -> Path:
        return Path(os.path.abspath(self.run_file.parent))


def script(scheduler: str, job: Job, name: str) -> str:
    """The text of a launch script.

    Batch systems copy scripts elsewhere before they run them, so that the folder of the run file stands in it.

    Parameters
    ----------
    scheduler : one of SCHEDULERS
    name : of the script, which queues itself anew
    """
    stem = job.run_file.stem if job.run_file.stem != "run" else job.folder.name
    values = {
        "name": stem.replace(" ", "-")[:15],
        "log": _plain(job.folder / stem),
        "ranks": job.ranks,
        "hours": job.hours,
        "memory": 2 * job.ranks,
        "script": name,
    }
    start = _STARTERS[scheduler].format(**values)
    seconds = job.hours * 3600 - 300
    return f"""#!/bin/bash
{_HEADS[scheduler].format(**values)}

here={shlex.quote(str(job.folder))}
run_file="$here"/{shlex.quote(job.run_file.name)}
out="$here"/{shlex.quote(stem)}-out

# What this machine needs to find grs-evo and the MPI library that its mpi4py was built for:
# module load python mpich
# source ~/venv/bin/activate
export OMP_NUM_THREADS=1                 # ranks are the parallelism
# export NUMBA_CACHE_DIR=/scratch/$USER/numba    # compiled code, where the home folder is small or slow

# It saves and ends with code 75 shortly before the time is up; what is there goes on.
if [ -f "$out/run.toml" ]; then
    {start} grs-evo resume "$out" --max-time {seconds}s
else
    {start} grs-evo run "$run_file" --out "$out" --max-time {seconds}s
fi
code=$?
if [ "$code" -eq 75 ]; then
    {_AGAIN[scheduler].format(**values)}
    exit 0
fi
exit "$code"
"""


def write_script(scheduler: str, job: Job) -> str:
    """Write the script beside the run file; returns what to do with it.

    Raises
    ------
    InputError
        There is no such run file; the script is there already; a path that batch systems do not take.
    """
    if not job.run_file.is_file():
        raise InputError(f"{job.run_file}: no such file; the script is written for a run file that is there")
    path = job.run_file.with_name(f"{job.run_file.stem}.{scheduler}")
    if path.exists():
        raise InputError(f"{path}: exists already; remove it, or rename it")
    path.write_text(script(scheduler, job, path.name), encoding="utf-8")
    path.chmod(0o755)
    return f"{path}: written; set modules, time and memory in it, then\n  {_SUBMIT[scheduler]} {shlex.quote(str(path))}"


def _plain(path: Path) -> str:
    text = str(path)
    if any(character.isspace() or character in "%\"'$" for character in text):
        raise InputError(f"{path}: batch systems take no blanks, quotes, % or $ in the name of a log file")
    return text
