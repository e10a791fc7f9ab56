"""Inputs of CP2K, ABINIT, CASTEP and GPAW: cell and positions complete, everything else a starting value to be checked.

What was not given (pseudopotentials, basis sets) is left out or named so that the code stops rather than computes with
another.
"""

from __future__ import annotations

import io
from typing import Any

from grs_evo.exporters.formats import bare, label

# Starting values, to be converged by whoever runs them; the files say so.
_SPACING = 0.04  # of k-points, 1/Å (without 2π)
_CUTOFF_RY = 500.0  # CP2K's grid
_CUTOFF_EV = 500.0  # plane waves
_SMEARING_EV = 0.1
_TO_CHECK = "starting values, to be checked"


def k_points(one: Any) -> tuple[int, int, int]:
    """A grid no coarser than 0.04 1/Å along each periodic direction."""
    import numpy as np

    lengths = np.linalg.norm(one.cell.reciprocal()[:], axis=1)
    counts = np.where(one.pbc, np.maximum(1, np.ceil(lengths / _SPACING)), 1)
    return (int(counts[0]), int(counts[1]), int(counts[2]))


def cp2k(one: Any) -> bytes:
    """A CP2K input for energy, forces and stress; basis set and potential of each element are named, not chosen."""
    from ase.calculators.cp2k import InputSection

    made: Any = InputSection  # ASE gives no types
    root = made("CP2K_INPUT")
    put = root.add_keyword
    put("GLOBAL", "PROJECT grs")
    put("GLOBAL", "RUN_TYPE ENERGY_FORCE")
    put("FORCE_EVAL", "METHOD Quickstep")
    put("FORCE_EVAL", "STRESS_TENSOR ANALYTICAL")
    put("FORCE_EVAL/DFT", "BASIS_SET_FILE_NAME BASIS_MOLOPT")
    put("FORCE_EVAL/DFT", "POTENTIAL_FILE_NAME POTENTIAL")
    put("FORCE_EVAL/DFT/MGRID", f"CUTOFF [Ry] {_CUTOFF_RY:g}")
    put("FORCE_EVAL/DFT/SCF", "EPS_SCF 1e-6")
    put("FORCE_EVAL/DFT/SCF", "ADDED_MOS 20")
    put("FORCE_EVAL/DFT/SCF/SMEAR", "_SECTION_PARAMETERS_ ON")
    put("FORCE_EVAL/DFT/SCF/SMEAR", f"ELECTRONIC_TEMPERATURE [eV] {_SMEARING_EV:g}")
    put("FORCE_EVAL/DFT/KPOINTS", "SCHEME MONKHORST-PACK {} {} {}".format(*k_points(one)))
    put("FORCE_EVAL/DFT/XC/XC_FUNCTIONAL", "_SECTION_PARAMETERS_ PBE")
    put("FORCE_EVAL/PRINT/FORCES", "_SECTION_PARAMETERS_ ON")
    put("FORCE_EVAL/PRINT/STRESS_TENSOR", "_SECTION_PARAMETERS_ ON")
    periodic = "".join(name for name, is_periodic in zip("XYZ", one.pbc, strict=True) if is_periodic) or "NONE"
    put("FORCE_EVAL/SUBSYS/CELL", f"PERIODIC {periodic}")
    for name, vector in zip("ABC", one.cell[:], strict=True):
        put("FORCE_EVAL/SUBSYS/CELL", f"{name} {_numbers(vector)}")
    for symbol, position in zip(one.get_chemical_symbols(), one.positions, strict=True):
        put("FORCE_EVAL/SUBSYS/COORD", f"{symbol} {_numbers(position)}", unique=False)
    text = "\n".join(root.write())
    kinds = "\n".join(
        f"      &KIND {symbol}\n         BASIS_SET NO_BASIS_SET_GIVEN_FOR_{symbol}\n"
        f"         POTENTIAL NO_POTENTIAL_GIVEN_FOR_{symbol}\n      &END KIND"
        for symbol in dict.fromkeys(one.get_chemical_symbols())
    )
    text = text.replace("   &END SUBSYS", f"{kinds}\n   &END SUBSYS")
    return (
        f"! {label(one)}\n! {_TO_CHECK}: basis sets, potentials, CUTOFF, KPOINTS, smearing, functional\n{text}\n"
    ).encode()


def abinit(one: Any) -> bytes:
    """An ABINIT input for energy, forces and stress, without pseudopotentials, which ABINIT then misses."""
    from ase.io.abinit import write_abinit_in

    stream = io.StringIO()
    write: Any = write_abinit_in  # ASE gives no types
    # xc by number: given by name it would be LDA where the pseudopotentials do not say it
    write(stream, bare(one), {"ixc": 11, "ecut": _CUTOFF_EV, "toldfe": 1e-5, "occopt": 3, "tsmear": _SMEARING_EV})
    grid = "kptopt 1\nngkpt {} {} {}\nnshiftk 1\nshiftk 0 0 0\n".format(*k_points(one))
    head = f"# {label(one)}\n# {_TO_CHECK}: ecut, k-points, smearing, functional; add pseudos and pp_dirpath\n"
    return f"{head}{stream.getvalue()}{grid}".encode()


def castep(one: Any) -> bytes:
    """A CASTEP .cell file with every digit and a grid of k-points; the .param file is the user's.

    ASE writes these only where a CASTEP program tells it its keywords.
    """
    lines = [
        f"! {label(one)}",
        f"! {_TO_CHECK}: k-points; pseudopotentials and the .param file are yours",
        "%BLOCK LATTICE_CART",
        *(_numbers(vector) for vector in one.cell[:]),
        "%ENDBLOCK LATTICE_CART",
        "",
        "%BLOCK POSITIONS_ABS",
        *(f"{s} {_numbers(x)}" for s, x in zip(one.get_chemical_symbols(), one.positions, strict=True)),
        "%ENDBLOCK POSITIONS_ABS",
        "",
        "KPOINT_MP_GRID : {} {} {}".format(*k_points(one)),
    ]
    return ("\n".join(lines) + "\n").encode()


def gpaw(one: Any) -> bytes:
    """A Python script that computes energy, forces and stress with GPAW and writes them beside itself, as extended XYZ.

    `grs-evo label` reads what it writes.
    """
    lines = [
        f"# {label(one)}",
        f"# {_TO_CHECK}: cutoff, k-points, smearing, functional",
        "from pathlib import Path",
        "",
        "from ase import Atoms",
        "from gpaw import GPAW, PW, FermiDirac",
        "",
        "atoms = Atoms(",
        f"    {one.get_chemical_symbols()!r},",
        f"    positions={one.positions.tolist()!r},",
        f"    cell={one.cell[:].tolist()!r},",
        f"    pbc={[bool(flag) for flag in one.pbc]!r},",
        f"    info={ {key: one.info[key] for key in ('grs_uid', 'grs_seed') if key in one.info}!r},",
        ")",
        f"atoms.calc = GPAW(mode=PW({_CUTOFF_EV:g}), xc='PBE', kpts={k_points(one)!r}, "
        f"occupations=FermiDirac({_SMEARING_EV:g}), txt=str(Path(__file__).with_suffix('.txt')))",
        "atoms.get_potential_energy()",
        "atoms.get_forces()",
        "if atoms.pbc.all():",
        "    atoms.get_stress()",
        "atoms.write(Path(__file__).with_suffix('.extxyz'))",
    ]
    return ("\n".join(lines) + "\n").encode()


def _numbers(values: Any) -> str:
    return " ".join(repr(float(value)) for value in values)
