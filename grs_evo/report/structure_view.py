"""Structures for the page: formula, symmetry, data for the interactive view, and a still picture of each."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grs_evo.structures.structure import Structure

# The view of the stills, and the first one of the interactive scene: a little from the right and above.
_VIEW = (np.deg2rad(-62.0), np.deg2rad(22.0))
_CORNERS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=np.float64)
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if np.abs(_CORNERS[a] - _CORNERS[b]).sum() == 1]


def radii(elements: Sequence[str]) -> list[float]:
    """Radius each element is drawn with, Å: its covalent radius, so that neighbours nearly touch."""
    from ase.data import atomic_numbers, covalent_radii

    return [round(float(covalent_radii[atomic_numbers[symbol]]), 3) for symbol in elements]


def scene(structure: Structure) -> dict[str, Any]:
    """Arrays for the interactive view; positions to 1e-4 Å, as they are (not wrapped into the cell)."""
    return {
        "positions": [round(float(x), 4) for x in structure.positions.ravel()],
        "species": structure.species.tolist(),
        "cell": [round(float(x), 4) for x in structure.cell.ravel()],
        "pbc": structure.pbc.tolist(),
    }


def _turned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coordinates as seen: x to the right, y upwards, z towards the eye."""
    turn, tilt = _VIEW
    across = np.array([-np.sin(turn), np.cos(turn), 0.0])
    towards = np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), np.sin(tilt)])
    seen: NDArray[np.float64] = points @ np.array([across, np.cross(towards, across), towards]).T
    return seen


def still(structure: Structure, elements: Sequence[str], label: str, most: int = 400) -> str:
    """An inline SVG of the structure: what a page without WebGL, or on paper, shows.

    Atoms nearer the eye are drawn later; `most` atoms at most, the nearest.
    """
    corners = _turned(_CORNERS @ structure.cell)
    atoms = _turned(structure.positions)
    sizes = np.array(radii(elements))[structure.species] * 0.8
    everything = np.concatenate([corners[:, :2], atoms[:, :2] - sizes[:, None], atoms[:, :2] + sizes[:, None]])
    low, high = everything.min(axis=0), everything.max(axis=0)
    extent = float((high - low).max()) * 1.04
    middle = (low + high) / 2
    scale = 100.0 / extent

    def place(point: NDArray[Any]) -> tuple[float, float]:
        return 50 + scale * (point[0] - middle[0]), 50 - scale * (point[1] - middle[1])

    parts: list[tuple[float, str]] = []
    if structure.pbc.any():
        for a, b in _EDGES:
            (x1, y1), (x2, y2) = place(corners[a]), place(corners[b])
            depth = (corners[a, 2] + corners[b, 2]) / 2
            parts.append((depth, f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>'))
    nearest = np.argsort(-atoms[:, 2], kind="stable")[:most]
    for k in nearest:
        x, y = place(atoms[k])
        parts.append(
            (
                float(atoms[k, 2]),
                f'<circle class="e{structure.species[k]}" cx="{x:.1f}" cy="{y:.1f}" r="{scale * sizes[k]:.1f}"/>',
            )
        )
    drawn = "".join(text for _, text in sorted(parts, key=lambda part: part[0]))
    return f'<svg class="still" viewBox="0 0 100 100" role="img" aria-label="{html.escape(label)}">{drawn}</svg>'
