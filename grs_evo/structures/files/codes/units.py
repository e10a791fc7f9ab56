"""Units of programs: LAMMPS's of length, FitSNAP's of stress."""

from __future__ import annotations

from grs_evo.structures.files.text import Lines, shown

# CODATA 2018, m
_BOHR = 0.529177210903
# eV/Å³, CODATA 2018
BAR = 1.0 / 1602176.634
# Å per unit of length
_LENGTHS = {
    "metal": 1.0,
    "real": 1.0,
    "electron": _BOHR,
    "nano": 10.0,
    "micro": 1e4,
    "cgs": 1e8,
    "si": 1e10,
}


def length_of_unit(name: str, lines: Lines) -> float:
    """Å per unit of length of a style of LAMMPS's `units`; refused where the style has none (lj) or is not known."""
    if name == "lj":
        lines.fail("the unit is lj: reduced lengths are no Å; scale positions and box to Å (units metal) first")
    if name not in _LENGTHS:
        lines.fail(f"the unit {shown(name, 20)!r} is not known; LAMMPS has {', '.join(_LENGTHS)} and lj")
    return _LENGTHS[name]
