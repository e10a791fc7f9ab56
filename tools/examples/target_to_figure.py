"""From a target to a figure: relax one cell by hand, let a run search, and draw both against the target.

Usage: python tools/examples/target_to_figure.py [TARGET.extxyz] [FIGURE.png]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

import grs_evo as grs
from grs_evo.analysis import figures, principal_components, project

here = Path(__file__).parents[2]
file = Path(sys.argv[1] if len(sys.argv) > 1 else here / "runs/liquid-ta/target.extxyz").resolve()
melt = read(file)
basis = grs.build_basis(sorted(set(melt.get_chemical_symbols())), n_max=(8, 2), l_max=(0, 2), cutoff=5.0)
target = grs.Target.from_structures(melt, basis)
loss = grs.make_objective(basis, target)

rng = np.random.default_rng(1)  # by hand: sixteen atoms thrown into a cube of the target's density
edge = (16 * melt.get_volume() / len(melt)) ** (1 / 3)
start = Atoms(rng.choice(melt.symbols, 16), rng.uniform(0, edge, (16, 3)), cell=[edge] * 3, pbc=True)
mine = grs.relax(start, loss)
print(f"by hand: loss {mine.value:.3g} after {mine.evaluations} evaluations ({mine.reason})")

folder = Path(tempfile.mkdtemp()) / "out"  # or as a run: islands, migration, checkpoints, an archive
run_file = folder.with_name("run.toml")
run_file.write_text(f"""target.files = ["{file}"]
basis = {{ n_max = [8, 2], l_max = [0, 2], cutoff = 5.0 }}
candidates = {{ kind = "random", sizes = [16, 16] }}
relax = {{ positions = true }}
search = {{ islands = 2, population = 6 }}
stop.generations = 3
""")
grs.run(run_file, folder, quiet=True)
best = grs.read_archive(folder).atoms(0)
print(f"by run:  loss {best.info['grs_value']:.3g}")

axes_of = principal_components(grs.describe(melt, basis))
drawing, axis = figures.figure()
for k, (name, atoms) in enumerate({"target": melt, "by hand": mine.structure, "by run": best}.items()):
    points = project(axes_of, grs.describe(atoms, basis))
    look = figures.style(k) | {"linestyle": "none", "markersize": 2 if k == 0 else 6, "alpha": 0.4 if k == 0 else 1}
    axis.plot(points[:, 0], points[:, 1], label=name, **look)
axis.set(xlabel="principal component 1", ylabel="principal component 2")
axis.legend()
print(figures.save(drawing, sys.argv[2] if len(sys.argv) > 2 else "target_to_figure")[0])
