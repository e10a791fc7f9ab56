"""V_eff in LAMMPS: the documented address of `grs_evo.potential.lammps`."""

from grs_evo.potential.lammps import attach

__all__ = ["attach"]
