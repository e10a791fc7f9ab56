"""Where atoms are and where there is vacuum: along each cell vector, and the volume that atoms fill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grs_evo.structures.structure import Structure

# Å; a slab without atoms at least this wide separates images from each other. Layered crystals have gaps of 3 to 4 Å.
VACUUM = 6.0
# Å added to the extent of atoms where a direction has vacuum: about one atom, so that a flat layer has a volume.
_ATOM = 2.5


def gaps(structure: Structure) -> NDArray[np.float64]:
    """(3,) Å, the widest slab without atoms between planes of each pair of cell vectors; inf where not periodic."""
    inverse = np.linalg.inv(structure.cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    fractional = structure.positions @ inverse
    widest = np.full(3, np.inf)
    for axis in np.flatnonzero(structure.pbc):
        along = np.sort(fractional[:, axis] % 1.0)
        widest[axis] = np.diff(along, append=along[0] + 1.0).max() * heights[axis]
    return widest


def filled(structure: Structure) -> NDArray[np.bool_]:
    """(3,) whether matter goes on along each cell vector: periodic and without vacuum."""
    return np.asarray(gaps(structure) < VACUUM, np.bool_)


def filled_volume(structure: Structure) -> float:
    """Å³ of the cell without its vacuum; of the atoms' extent where it is not periodic."""
    inverse = np.linalg.inv(structure.cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    fractional = structure.positions @ inverse
    open_width = gaps(structure)
    share = 1.0
    for axis in range(3):
        if not structure.pbc[axis]:
            extent = float(np.ptp(fractional[:, axis])) * heights[axis] + _ATOM
        elif open_width[axis] >= VACUUM:
            extent = min(heights[axis] - open_width[axis] + _ATOM, heights[axis])
        else:
            continue
        share *= extent / heights[axis]
    return structure.volume * share
