"""A search, then a calculation of what it found, as jobs of jobflow: python jobflow_flow.py RUN.toml FOLDER

Jobs hand on pymatgen structures, as those of atomate2 do: `StaticMaker().make(found.output[0])` takes the place of
`energy` where VASP is installed, and jobflow-remote or FireWorks that of `run_locally` on a cluster.
"""

import sys
from pathlib import Path

from jobflow import Flow, job, run_locally
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

import grs_evo


@job
def search(run_file: str, folder: str, seed: int, count: int = 2) -> list[Structure]:
    """The best cells of a run."""
    grs_evo.run(run_file, folder, seed=seed, quiet=True)
    archive = grs_evo.read_archive(folder)
    return [AseAtomsAdaptor.get_structure(one) for one in archive[:count]]


@job
def energy(structure: Structure) -> float:
    """Of one cell, eV; by a potential that needs no program beside Python."""
    from ase.calculators.emt import EMT

    return float(EMT().get_potential_energy(AseAtomsAdaptor.get_atoms(structure)))


if __name__ == "__main__":
    run_file, folder = (str(Path(name).resolve()) for name in sys.argv[1:3])
    found = search(run_file, folder, seed=1)
    labelled = energy(found.output[0])
    done = run_locally(Flow([found, labelled], output=labelled.output), ensure_success=True)
    print(f"energy {done[labelled.uuid][1].output:.4f} eV")
