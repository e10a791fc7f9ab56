"""From a target to a figure: python tools/examples/target_to_figure.py [TARGET.extxyz] [FIGURE.png]"""

import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

import grs_evo as grs
from grs_evo.analysis import principal_components, project
from grs_evo.analysis.figures import files
from grs_evo.analysis.figures.figure import Axis, Figure, Series

melt = read(sys.argv[1] if sys.argv[1:] else Path(__file__).parents[2] / "runs/liquid-ta/target.extxyz")
basis = grs.build_basis(sorted(set(melt.get_chemical_symbols())), n_max=(8, 2), l_max=(0, 2), cutoff=5.0)
loss = grs.make_objective(basis, grs.Target.from_structures(melt, basis))
rng, edge = np.random.default_rng(1), (16 * melt.get_volume() / len(melt)) ** (1 / 3)
relaxed = []  # sixteen atoms thrown into a cube of the target's density, six times
for _ in range(6):
    start = Atoms(rng.choice(melt.symbols, 16), rng.uniform(0, edge, (16, 3)), cell=[edge] * 3, pbc=True)
    relaxed.append(grs.relax(start, loss))
best = min(relaxed, key=lambda one: one.value)
print(f"loss {best.value:.3g}, the worst of six {max(one.value for one in relaxed):.3g}")
axes_of = principal_components(grs.describe(melt, basis))
clouds = {"target": melt, "16 atoms": best.structure}
places = [project(axes_of, grs.describe(atoms, basis))[:, :2].T for atoms in clouds.values()]
series = [Series(name, *places[k], "points", k - 1, 3 + 5 * k) for k, name in enumerate(clouds)]
plane = Figure("plane", "", "", series, Axis("principal component 1"), Axis("principal component 2"))
print(files.save(files.draw([plane]), sys.argv[2] if sys.argv[2:] else "target_to_figure")[0])
