"""Swaps and candidates per second on fixed sites: Au–Cu on 32 fcc sites, the paper's basis (452 functions), one core.

    python tools/bench/lattice.py [--cutoff 6.0] [--json lattice.json]

Every swap and candidate ends in the loss; with functions that coincide up to scale folded into their representatives
("pruned"), and with all of them. Best of several rounds of processor time, because the machine may be shared; the
yardstick is eight independent chains of vector fused multiply–adds on the same core.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from grs_evo.descriptors.basis import build_basis
from grs_evo.kernels.compiling import probe
from grs_evo.kernels.lattice import lattice as kernel
from grs_evo.kernels.simd import fma, splat, total
from grs_evo.loss.lattice import LatticeObjective, make_lattice_objective, reference_structures
from grs_evo.loss.objective import make_objective
from grs_evo.loss.options import LossOptions
from grs_evo.structures.structure import Structure
from grs_evo.targets.target import Target


@probe
def relative_loss(n):
    a = b = c = d = e = f = g = h = splat(1.0)
    x, y = splat(0.999999), splat(1e-9)
    for _ in range(n):
        a, b, c, d = fma(a, x, y), fma(b, x, y), fma(c, x, y), fma(d, x, y)
        e, f, g, h = fma(e, x, y), fma(f, x, y), fma(g, x, y), fma(h, x, y)
    return total(a + b + c + d + e + f + g + h)


def fastest(call: Callable[[], object], rounds: int = 7) -> float:
    best = np.inf
    for _ in range(rounds):
        start = time.thread_time()
        call()
        best = min(best, time.thread_time() - start)
    return best


def unpruned(lattice: LatticeObjective) -> LatticeObjective:
    """The same loss with every function computed."""
    import grs_evo.loss.lattice as module
    from grs_evo.descriptors.equivalence import Coincidence

    found = module.representatives
    everything = lambda rows: Coincidence(  # noqa: E731
        np.arange(rows.shape[1]), np.arange(rows.shape[1]), np.ones(rows.shape[1])
    )
    module.representatives = everything
    try:
        return make_lattice_objective(lattice.objective, lattice.template)
    finally:
        module.representatives = found


def rates(lattice: LatticeObjective) -> dict[str, float]:
    rng = np.random.default_rng(0)
    n = lattice.n_sites
    occupations = rng.integers(0, 2, (4000, n)).astype(np.int32)
    lattice.values(occupations[:10])
    lattice.evaluate(occupations[:10])
    start = rng.permutation(np.repeat([0, 1], [n // 4, n - n // 4])).astype(np.int32)
    pairs = np.array([(i, j) for i in range(n) for j in range(i) if start[i] != start[j]], np.int32)
    pairs = np.tile(pairs, (40, 1))
    kernel.time_swaps(lattice.fast, lattice.scratch, start, pairs[:2], lattice.work)
    swap = fastest(lambda: kernel.time_swaps(lattice.fast, lattice.scratch, start, pairs, lattice.work))
    return {
        "swaps_per_second": len(pairs) / swap,
        "candidates_per_second": len(occupations) / fastest(lambda: lattice.values(occupations)),
        "candidates_with_all_terms_per_second": 500 / fastest(lambda: lattice.evaluate(occupations[:500])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cutoff", type=float, default=6.0, help="Å")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    basis = build_basis(("Au", "Cu"), cutoff=options.cutoff)
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    grid = np.stack(np.meshgrid(*[np.arange(2)] * 3, indexing="ij"), -1).reshape(-1, 3)
    positions = 3.75 * (grid[:, None, :] + sites[None]).reshape(-1, 3)
    template = Structure(positions, 7.5 * np.eye(3), np.zeros(32), np.ones(3, bool))
    target = Target.from_structures([Structure(3.75 * sites, 3.75 * np.eye(3), [0, 1, 1, 1], np.ones(3, bool))], basis)
    reference = reference_structures(template, 2)
    results: dict[str, object] = {"machine": platform.processor() or platform.machine(), "functions": basis.n_desc}
    relative_loss(10)
    results["yardstick_gigaflops"] = 8 * 16 * 1e6 / fastest(lambda: relative_loss(1_000_000)) / 1e9
    speed = results["yardstick_gigaflops"]
    print(f"{basis.n_desc} functions, 32 sites, cutoff {options.cutoff} Å; yardstick {speed:.1f} GF/s")
    print(f"  {'loss':42s} {'functions':>9s} {'steps':>6s} {'swaps/s':>9s} {'batch/s':>9s} {'with terms':>10s}")
    for title, loss, pruned in (
        ("means, whitened", LossOptions(variance=0.0, scale="whitened"), True),
        ("means, whitened, nothing folded", LossOptions(variance=0.0, scale="whitened"), False),
        ("means, raw (the paper's)", LossOptions(variance=0.0, scale="none"), True),
        ("means and variances, reference", LossOptions(scale="reference"), True),
        ("means and variances, whitened", LossOptions(scale="whitened"), True),
    ):
        judge = make_objective(basis, target, loss, reference=reference)
        start = time.perf_counter()
        lattice = make_lattice_objective(judge, template)
        if not pruned:
            lattice = unpruned(lattice)
        row = rates(lattice)
        row["representatives"] = lattice.n_representatives
        row["steps"] = len(lattice.fast.tables.c)
        row["seconds_to_set_up"] = time.perf_counter() - start
        results[title] = row
        print(
            f"  {title:42s} {row['representatives']:9.0f} {row['steps']:6.0f} {row['swaps_per_second']:9.0f}"
            f" {row['candidates_per_second']:9.0f} {row['candidates_with_all_terms_per_second']:10.0f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
