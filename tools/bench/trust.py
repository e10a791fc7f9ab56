"""How far a user gets who says what the target is, the size of the cell and 60 seconds, and nothing else.

    python tools/bench/trust.py cells --json table.json        # every row of the table: ten seeds each
    python tools/bench/trust.py cells --case glass --seeds 3
    python tools/bench/trust.py cells --case quenched          # a Cu-Zr glass that LAMMPS makes anew
    python tools/bench/trust.py cells --case water --seeds 3   # 216 molecules by LAMMPS -> 16
    python tools/bench/trust.py verdicts                       # 30 right structures and 30 spoiled ones

Targets are read from --data (default: ../shared/data beside the project); without them it says so and ends. Each run
is a process of its own on one core, which is told to stop when it has had so many seconds of processor time, start
included (of the clock, where the system does not tell them). Cells are judged by g(r), first peaks, coordination and
contacts, none of which depends on a basis: dg is the rms difference of g(r) over all pairs, over the median of that of
as many environments drawn at random from the target.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trust_liquids
import trust_structures
from ase.io import read, write

import grs_evo
from grs_evo.loss.quality import over_noise, structure_loss
from grs_evo.observables import Reference, compare, describe_target
from grs_evo.observables.counting.shells import pair_function
from grs_evo.observables.counting.survey import COARSE, survey
from grs_evo.observables.sampling import draw
from grs_evo.structures.structure import Structure, from_atoms

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Case:
    """A target and what the run file says besides."""

    file: str  # "" where LAMMPS makes the target
    candidates: str
    judge_unlike: str = ""  # elements that are mixed on sites, whose unlike neighbours are counted
    liquid: str = ""  # of molecules that LAMMPS makes anew
    crystal: str = ""  # that is made here, and is to come back exactly


CASES = {
    "glass": Case("nial_glass_2048.extxyz", "sizes = [54, 54]"),
    "melt": Case("nacl_melt_216.extxyz", "sizes = [40, 40]"),
    "liquid": Case("liquid_ta_2000.extxyz", "sizes = [54, 54]"),
    "silica": Case("sio2_disordered_192.extxyz", "sizes = [48, 48]"),
    "layer": Case("mows2_random_300.extxyz", "repeat = [4, 4, 1]", "Mo W"),
    "quenched": Case("", "sizes = [54, 54]"),
    "water": Case("", "sizes = [48, 48]", liquid="water"),
    "carbon dioxide": Case("", "sizes = [48, 48]", liquid="carbon dioxide"),
    "slab": Case("", "repeat = [2, 2, 1]", crystal="MoS2"),
    "quartz": Case("", "repeat = [1, 1, 1]", crystal="quartz"),
}
# What a row must reach: largest values, or smallest ones of shares.
_DISORDERED = {"peak": 0.06, "coordination": 0.3, "contact": 0.1, "dg": 1.3}
_MOLECULAR = {"bond off": 0.03, "angle off": 3.0}
MUST = {
    "glass": _DISORDERED,
    "quenched": _DISORDERED,
    "melt": {"paper": 0.1},
    "liquid": {"paper": 0.1},
    "layer": {"unlike": 0.03},
    "water": _MOLECULAR | {"O-O peak": 0.1},
    "carbon dioxide": _MOLECULAR | {"C-C peak": 0.1},
    "slab": {"off": 1e-3},
    "quartz": {"off": 1e-3},
}
LEAST = {
    "silica": {"Si with 4 O": 0.95, "O with 2 Si": 0.95},
    "water": {"whole": 1.0},
    "carbon dioxide": {"whole": 1.0},
    "layer": {"vacuum kept": 1.0},
    "slab": {"vacuum kept": 1.0},
}


def judged(atoms: Any, reference: Reference) -> dict[str, Any]:
    """What a person would look at: worst over pairs, and the verdict."""
    cell = from_atoms(atoms, reference.elements)
    found = compare([cell], reference)
    by_quantity: dict[str, list[tuple[float, float]]] = {}
    for row in found.rows:
        if row.target is not None and np.isfinite(row.target):
            by_quantity.setdefault(row.quantity, []).append((row.value, row.target))
    peaks, means = by_quantity.get("first peak", []), by_quantity.get("coordination", [])
    contacts = by_quantity.get("shortest contact", [])
    return {
        "peak": max((abs(a - b) for a, b in peaks), default=0.0),
        "coordination": max((abs(a - b) for a, b in means), default=0.0),
        "contact": max((b - a for a, b in contacts), default=0.0),
        "dg": pair_distance(cell, reference),
        "grade": found.grade,
        "reasons": list(found.reasons),
    }


def pair_distance(cell: Structure, reference: Reference) -> float:
    """rms Δg over all pairs, over the median of that of as many random environments."""
    target = reference.survey
    own = survey([cell], reference.elements, target.reach, target.shells)
    comparison = draw(target, own.counts, reference.exact, reference.torn, 0)
    ours, drawn = [], []
    for a, b in own.pairs():
        if not target.histogram[a, b].any():
            continue
        density = float(target.densities[b])
        wanted = pair_function(target.coarse(a, b), COARSE, density)
        ours.append(pair_function(own.coarse(a, b), COARSE, density) - wanted)
        drawn.append((comparison.pair_functions(a, b) - wanted)[~comparison.blocks])
    random = np.sqrt((np.array(drawn) ** 2).mean(axis=(0, 2)))
    return float(np.sqrt((np.array(ours) ** 2).mean()) / np.median(random))


def paper_ratio(atoms: Any, target_file: Path) -> float:
    """The loss in the paper's basis over the sampling noise."""
    elements = sorted(set(atoms.get_chemical_symbols()))
    basis = grs_evo.build_basis(elements)
    target = grs_evo.Target.from_structures([str(target_file)], basis)
    objective = grs_evo.make_objective(basis, target, grs_evo.LossOptions())
    evaluation = objective.evaluate(atoms)
    loss = structure_loss(evaluation.terms, objective.term_names)
    return float(over_noise(objective, loss, len(atoms)).ratio)


def unlike(atoms: Any, mixed: list[str]) -> float:
    """Share of unlike pairs among nearest neighbours on the sites of the mixed elements."""
    metals = atoms[[k for k, s in enumerate(atoms.symbols) if s in mixed]]
    found = grs_evo.structures.neighbours.neighbours(from_atoms(metals, mixed), 3.8)
    species = np.array([mixed.index(s) for s in metals.symbols])
    return float((species[found.first] != species[found.second]).mean())


def one_run(case: Case, target: Path, seed: int, seconds: float, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The best structure of a run, and how far it came."""
    place = folder / f"seed{seed}"
    place.mkdir()
    longest = _LOADED * seconds if _TELLS else seconds
    text = f'[target]\nfiles = ["{target}"]\n[candidates]\n{case.candidates}\n[stop]\nseconds = {longest:g}\n'
    (place / "case.toml").write_text(text)
    threads = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "grs_evo", "run", str(place / "case.toml"), "--seed", str(seed)]
    with (place / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **threads})
        used = 0.0
        while process.poll() is None:
            time.sleep(0.1)
            used = _processor_seconds(process.pid) or used
            if used >= seconds:
                process.send_signal(signal.SIGTERM)
                process.wait()
    if process.returncode not in (0, 75):
        raise SystemExit((place / "said").read_text())
    status = json.loads((place / "case" / "status.json").read_text())
    facts = {name: status.get(name) for name in ("generation", "evaluations", "stop_reason")} | {"cpu": used}
    return grs_evo.read_archive(place / "case").atoms(0), facts


# Whether the system tells a process's time, and by how much a loaded machine may be slower.
_TELLS, _LOADED = Path("/proc/self/stat").exists(), 10.0


def _processor_seconds(pid: int) -> float:
    """s of processor time that a process has had; 0 where it is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def molecular(atoms: Any, target: Any, liquid: str, reference: Reference) -> dict[str, float]:
    """Whether molecules are whole, how far bonds and angles are from the target's mean, and the centres' first peak."""
    own, theirs = (trust_liquids.molecules_of(one, liquid) for one in (atoms, target))
    centre = trust_liquids.LIQUIDS[liquid].symbols[0]
    rows = compare([from_atoms(atoms, reference.elements)], reference).rows
    peaks = [abs(r.value - r.target) for r in rows if (r.subject, r.quantity) == (f"{centre}-{centre}", "first peak")]
    off = {f"{name} off": abs(own[name] - theirs[name]) for name in ("bond", "angle")}
    return {"whole": own["whole"], **off, f"{centre}-{centre} peak": max(peaks, default=float("nan"))}


def network(atoms: Any) -> dict[str, float]:
    """Shares of silicon with four oxygens and of oxygen with two silicons."""
    near = atoms.get_all_distances(mic=True) < 2.2
    silicon, oxygen = (atoms.symbols == s for s in ("Si", "O"))
    return {
        "Si with 4 O": float((near[np.ix_(silicon, oxygen)].sum(1) == 4).mean()),
        "O with 2 Si": float((near[np.ix_(oxygen, silicon)].sum(1) == 2).mean()),
    }


def same(atoms: Any, target: Any) -> dict[str, Any]:
    """Whether a crystal came back: largest difference of its sorted distances from the target's, Å; its vacuum."""
    own, theirs = (_distances(one, 5.0) for one in (atoms, target))
    kept = bool((atoms.pbc == target.pbc).all())
    if own.shape != theirs.shape:
        return {"off": float("inf"), "vacuum kept": kept}
    return {"off": float(np.abs(own - theirs).max()), "vacuum kept": kept}


def _distances(atoms: Any, reach: float) -> Any:
    """Distances around each kind of atom, the mean over its atoms of the k-th smallest, with the number of them."""
    elements = sorted(set(atoms.symbols))
    found = grs_evo.structures.neighbours.neighbours(from_atoms(atoms, elements), reach)
    rows = []
    for element in elements:
        lists = [np.sort(found.distances[found.first == k]) for k in np.flatnonzero(atoms.symbols == element)]
        least = min(map(len, lists))
        rows += [*np.mean([one[:least] for one in lists], axis=0).tolist(), np.mean([len(one) for one in lists])]
    return np.array(rows)


def made(case: Case) -> Any:
    """The target of a case that is not among the data."""
    if case.crystal:
        return trust_structures.crystal(case.crystal)
    return trust_liquids.molecular_liquid(case.liquid) if case.liquid else trust_structures.quenched_glass()


def met(name: str, row: dict[str, Any]) -> bool:
    """Whether a row reaches what it must."""
    return all(row[key] <= most for key, most in MUST.get(name, {}).items()) and all(
        row[key] >= least for key, least in LEAST.get(name, {}).items()
    )


def cells(args: argparse.Namespace) -> dict[str, Any]:
    """The table of searched cells."""
    result: dict[str, Any] = {}
    for name in args.case or list(CASES):
        case = CASES[name]
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            target = args.data / case.file if case.file else place / "target.extxyz"
            if not case.file:
                write(target, made(case))
            elif not target.exists():
                print(f"{name}: {target} is not there; left out")
                continue
            reference = describe_target([str(target)])
            rows = []
            for seed in range(1, args.seeds + 1):
                atoms, facts = one_run(case, target, seed, args.seconds, place)
                row = judged(atoms, reference) | facts | {"paper": paper_ratio(atoms, target)}
                if case.judge_unlike:
                    mixed = case.judge_unlike.split()
                    row["unlike"] = abs(unlike(atoms, mixed) - unlike(read(target), mixed))
                    row["vacuum kept"] = bool((atoms.pbc == read(target).pbc).all())
                if case.crystal:
                    row |= same(atoms, read(target))
                if case.liquid:
                    row |= molecular(atoms, read(target), case.liquid, reference)
                if name == "silica":
                    row |= network(atoms)
                row["met"] = met(name, row)
                rows.append(row)
                print(f"{name} {seed}: {told(row)}", flush=True)
                if args.keep:
                    write(args.keep, atoms, append=True, format="extxyz")
                result[name] = rows
                if args.json:  # what is known so far, should it be stopped
                    args.json.write_text(json.dumps(result, indent=1))
        numbers = {k: float(np.median([r[k] for r in rows])) for k in rows[0] if isinstance(rows[0][k], (int, float))}
        reached = f"{sum(r['met'] for r in rows)} of {len(rows)} reach what they must"
        print(f"{name}, median of {len(rows)}: {told(numbers)}; {reached}", flush=True)
    return result


def told(row: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items() if k != "reasons")


def verdicts(args: argparse.Namespace) -> dict[str, Any]:
    """How many right structures are called good, and how many spoiled ones are not."""
    if not args.data.exists():
        print(f"{args.data} is not there; nothing to judge")
        return {}
    called: dict[str, list[bool]] = {"right": [], "spoiled": []}
    known: dict[int, Reference] = {}
    make: Callable[[Path, Path | None], Any] = trust_structures.sixty
    for one in make(args.data, args.cells):
        key = id(one.target)
        if key not in known:
            known[key] = describe_target(one.target)
        found = compare([from_atoms(one.atoms, known[key].elements)], known[key])
        kind = "right" if one.right else "spoiled"
        called[kind].append(found.good)
        mark = "" if found.good == one.right else "  <-- WRONG"
        print(f"{kind:8} {one.name:52} {found.line[:110]}{mark}", flush=True)
    bad, good = called["right"].count(False), called["spoiled"].count(True)
    print(f"{len(called['right'])} right, {bad} called bad; {len(called['spoiled'])} spoiled, {good} called good")
    return {"right": len(called["right"]), "called bad": bad, "spoiled": len(called["spoiled"]), "called good": good}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=["cells", "verdicts"])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--keep", type=Path, help="extended XYZ file that found cells are appended to")
    parser.add_argument("--cells", type=Path, help="good cells for `verdicts`, as --keep wrote them")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = cells(args) if args.what == "cells" else verdicts(args)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
