"""Parent lattices: fcc, bcc, hcp, sc, diamond."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grs_evo.search.candidates.lattices.supercells import IDEAL_C_OVER_A

PARENTS = ("sc", "bcc", "fcc", "hcp", "diamond")


def parent_cell(
    name: str, a: float, c_over_a: float = IDEAL_C_OVER_A, cubic: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell (3, 3) Å and fractional sites (n, 3) of a parent lattice.

    Parameters
    ----------
    name : sc, bcc, fcc, hcp or diamond
    a : lattice constant of the conventional cell, Å
    c_over_a : hcp only
    cubic : the conventional cubic cell instead of the primitive one
    """
    cell = a * np.eye(3)
    if name == "hcp":
        cell = a * np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(0.75), 0.0], [0.0, 0.0, c_over_a]])
        return cell, np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])
    face = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], dtype=np.float64)
    if name == "sc":
        return cell, np.zeros((1, 3))
    if cubic:
        if name == "bcc":
            return cell, np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
        return cell, face if name == "fcc" else np.concatenate([face, face + 0.25])
    if name == "bcc":
        return a / 2 * np.array([[-1.0, 1, 1], [1, -1, 1], [1, 1, -1]]), np.zeros((1, 3))
    sites = np.zeros((1, 3)) if name == "fcc" else np.array([[0, 0, 0], [0.25, 0.25, 0.25]])
    return a / 2 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]), sites


def sites_per_volume(name: str, c_over_a: float = IDEAL_C_OVER_A) -> float:
    """Number of sites in a volume a³, to find the lattice constant from a density."""
    return {"sc": 1.0, "bcc": 2.0, "fcc": 4.0, "diamond": 8.0, "hcp": float(2.0 / (np.sqrt(0.75) * c_over_a))}[name]
