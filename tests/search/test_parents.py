"""Parent lattices are the crystals that their names say."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, make_supercell

from grs_evo.search.candidates.lattices.parents import PARENTS, parent_cell
from grs_evo.search.candidates.lattices.supercells import (
    build,
)
from search.candidate_cases import shortest


def test_parents_are_the_usual_crystals():
    for name in PARENTS:
        for cubic in (True, False):
            cell, sites = parent_cell(name, 4.0, cubic=cubic)
            mine = build(cell, sites, np.eye(3, dtype=int), compact=False)
            theirs = bulk("Cu", name, a=4.0, c=4.0 * np.sqrt(8 / 3)) if name == "hcp" else bulk("Cu", name, a=4.0)
            assert mine.volume / mine.n_atoms == pytest.approx(theirs.get_volume() / len(theirs))
            crowd = make_supercell(theirs, 3 * np.eye(3))
            expected = np.sort(crowd.get_all_distances(mic=True)[0])[1]
            assert shortest(mine) == pytest.approx(expected)
