"""Several seeds of one run side by side with executorlib: python executorlib_seeds.py RUN.toml FOLDER

`SlurmJobExecutor` or `FluxJobExecutor` takes the place of `SingleNodeExecutor` within an allocation, and
`SlurmClusterExecutor` submits each search as a job; with `"cores": 8` a search runs on eight MPI ranks.
"""

import sys
from pathlib import Path

from executorlib import SingleNodeExecutor


def search(run_file: str, folder: str, seed: int) -> tuple[float, str]:
    """Loss and formula of the best cell of a run."""
    import grs_evo

    grs_evo.run(run_file, folder, seed=seed, quiet=True)
    best = grs_evo.read_archive(folder).best
    return best.info["grs_value"], best.get_chemical_formula()


if __name__ == "__main__":
    run_file, folder = (Path(name).resolve() for name in sys.argv[1:3])
    with SingleNodeExecutor(max_cores=2) as executor:
        ways = [
            executor.submit(search, str(run_file), str(folder / str(seed)), seed, resource_dict={"cores": 1})
            for seed in (1, 2)
        ]
        loss, formula = min(way.result() for way in ways)
    print(f"best loss {loss:.3g}, {formula}")
