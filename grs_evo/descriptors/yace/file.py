"""LAMMPS's `.yace` files (ML-PACE), read and written: linear ACE with ChebExpCos radial functions.

Reading expresses each function of the file in coupling trees of its own (μ, n, l) block, so that it is evaluated with
the file's own coefficients whatever convention made them: all m combinations or half of them, normalised or fitted.
What a file may hold and this program does not compute is refused by name, with the file's own keys: other radial
functions than ChebExpCos, coefficients that mix them, core repulsion (it adds to energies), several densities,
non-linear embeddings. Whatever else ML-PACE defines is evaluated as it does: tapers as wide as the cutoff, negative λ,
jumps where a taper has no width; but functions exactly, not from tables with a step of `deltaSplineBins`.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from grs_evo.descriptors.basis import PAIR_TABLES, Basis
from grs_evo.descriptors.coupling import Label
from grs_evo.descriptors.options import MAX_LAMBDA, MAX_RANK, MOST_CUTOFF
from grs_evo.descriptors.program import Mixing
from grs_evo.descriptors.yace.text import flow, function_text, number_text, parse
from grs_evo.descriptors.yace.trees import Combination, tree_combination
from grs_evo.descriptors.yace.values import check_keys, floats, integers, number
from grs_evo.errors import InputError, expect, nearest
from grs_evo.structures.files.text import check_regular

# Å: ML-PACE takes a taper of width 0 for a jump. One so narrow is the same everywhere but in its own range.
_JUMP = 1e-9
# Å: ML-PACE's width below the inner cutoff where a file gives none.
_DCUT_IN = 1e-5

_TOP = {"elements", "E0", "deltaSplineBins", "embeddings", "bonds", "functions", "metadata"}
_EMBEDDING = {"ndensity", "FS_parameters", "npoti", "rho_core_cutoff", "drho_core_cutoff"}
_BOND = {
    "nradmax", "lmax", "nradbasemax", "radbasename", "radparameters", "radcoefficients", "prehc", "lambdahc", "rcut",
    "dcut", "rcut_in", "dcut_in", "inner_cutoff_type",
}  # fmt: skip
_FUNCTION = {"mu0", "rank", "ndensity", "num_ms_combs", "mus", "ns", "ls", "ms_combs", "ctildes"}


# ---------------------------------------------------------------------------------------------------------------------
# reading


def read_yace(path: str | os.PathLike[str]) -> Basis:
    """A basis from a `.yace` file, functions in the file's order with rank 1 first, as LAMMPS numbers them.

    The values equal LAMMPS's descriptors, so its energy of the file is ``e0[element] + coefficients[element] @ B`` with
    `coefficients` all equal to the embedding's prefactor (1 in FitSNAP's files).

    Functions whose couplings are of single precision are projected onto the invariants, with a warning.

    Raises
    ------
    InputError
        Not a readable file; more than one density or a non-linear embedding; radial functions other than ChebExpCos
        or with coefficients that mix them; core repulsion; an inner cutoff of other type than ``distance``; a
        function that is not invariant under rotations; anything incomplete or out of range.
    """
    name = str(path)
    try:
        check_regular(Path(path))
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name}: cannot be read ({error})") from error
    data = parse(text, name)
    check_keys(data, _TOP, name)
    if "deltaSplineBins" in data and number(data["deltaSplineBins"], f"{name}: deltaSplineBins") <= 0.0:
        raise InputError(f"{name}: deltaSplineBins = {data['deltaSplineBins']} Å; it must be above 0")
    elements = _elements(data, name)
    prefactors = _embeddings(data, elements, name)
    bonds, tables = _bonds(data, elements, name)
    e0 = data.get("E0", [0.0] * len(elements))
    if not isinstance(e0, list) or len(e0) != len(elements):
        raise InputError(f"{name}: E0 = {e0!r}; it must be a list of {len(elements)} energies in eV")
    e0 = [number(x, f"{name}: E0") for x in e0]
    sections = data.get("functions")
    if not isinstance(sections, Mapping):
        raise InputError(f"{name}: has no functions; a basis needs at least one per element")
    for key in sections:
        if key not in range(len(elements)):
            raise InputError(f"{name}: functions of element {key!r}; element numbers are 0 to {len(elements) - 1}")
    labels, mixing = [], []
    lost: list[float] = []
    for mu0, element in enumerate(elements):
        entries = sections.get(mu0)
        if not isinstance(entries, list) or not entries:
            raise InputError(f"{name}: element {element} (number {mu0}) has no functions; it needs at least one")
        made = _functions(entries, mu0, elements, bonds, name, lost)
        labels.append(made[0])
        mixing.append(made[1])
    if not any(labels):
        raise InputError(
            f"{name}: every function vanishes (its ctildes are 0 or cancel); a basis needs one that does not"
        )
    if lost:
        warnings.warn(
            f"{name}: the couplings of {len(lost)} functions are of single precision: a share of up to {max(lost):.0e}"
            " of a function is not invariant under rotations; the invariant part is used, and LAMMPS's values differ by"
            " about that share",
            stacklevel=2,
        )
    highest = [0] * (1 + max(l for block in labels for label in block for l in label.ls))
    for block in labels:
        for label in block:
            for n, l in zip(label.ns, label.ls, strict=True):
                highest[l] = max(highest[l], n)
    n_of_l = tuple(max(highest[l:]) for l in range(len(highest)))
    basis = Basis(
        elements, n_of_l=n_of_l, labels=tuple(labels), mixing=tuple(mixing), coefficients=None, e0=tuple(e0), **tables
    )
    coefficients = tuple(np.full(size, prefactor) for size, prefactor in zip(basis.sizes, prefactors, strict=True))
    return replace(basis, coefficients=coefficients)


def _elements(data: Mapping[Any, Any], name: str) -> tuple[str, ...]:
    elements = data.get("elements")
    if not isinstance(elements, list) or not elements:
        raise InputError(f"{name}: elements = {elements!r}; it must be a list of chemical symbols")
    for k, symbol in enumerate(elements):
        # YAML 1.1 reads the symbols No, Y and N as truth values
        if isinstance(symbol, bool) and symbol is False:
            elements[k] = symbol = "No"
        if not isinstance(symbol, str) or atomic_numbers.get(symbol, 0) == 0:
            raise InputError(
                f"{name}: element {symbol!r} is no chemical symbol{nearest(str(symbol), chemical_symbols[1:])}"
            )
        if symbol in elements[:k]:
            raise InputError(f"{name}: element {symbol} is given twice; each element must be given once")
    return tuple(elements)


def _embeddings(data: Mapping[Any, Any], elements: Sequence[str], name: str) -> list[float]:
    """The factor between Σ c B and the energy, per element."""
    embeddings = data.get("embeddings")
    if not isinstance(embeddings, Mapping):
        raise InputError(f"{name}: has no embeddings; there must be one per element")
    prefactors = []
    for k, element in enumerate(elements):
        embedding, where = embeddings.get(k), f"{name}: embedding of {element}"
        if not isinstance(embedding, Mapping):
            raise InputError(f"{where} is missing")
        check_keys(embedding, _EMBEDDING, where)
        _check_core_cutoff(embedding, where)
        if number(embedding.get("ndensity", 1), f"{where}: ndensity") != 1:
            raise InputError(f"{where}: ndensity = {embedding['ndensity']}; only 1, a linear potential, is supported")
        if embedding.get("npoti") not in ("FinnisSinclair", "FinnisSinclairShiftedScaled"):
            raise InputError(
                f"{where}: npoti = {embedding.get('npoti')!r} is not supported; FinnisSinclair and"
                " FinnisSinclairShiftedScaled are"
            )
        parameters = embedding.get("FS_parameters")
        if not isinstance(parameters, list) or len(parameters) < 2:
            raise InputError(f"{where}: FS_parameters = {parameters!r}; it must be two numbers, prefactor and exponent")
        # a pair per density; ML-PACE does not look at those beyond ndensity
        prefactor, exponent, *_ = (number(x, f"{where}: FS_parameters") for x in parameters)
        if exponent != 1.0:
            raise InputError(
                f"{where}: FS_parameters exponent {exponent:g} is not supported; only 1, a linear embedding, is"
            )
        prefactors.append(prefactor)
    return prefactors


def _check_core_cutoff(embedding: Mapping[Any, Any], where: str) -> None:
    """ML-PACE scales the energy by a function of the core density that must be 1 where there is no core repulsion."""
    cutoff, width = (
        number(embedding.get(key, default), f"{where}: {key}")
        for key, default in (("rho_core_cutoff", 100000.0), ("drho_core_cutoff", 250.0))
    )
    if cutoff - width < 0.0:
        raise InputError(
            f"{where}: rho_core_cutoff = {cutoff:g} less drho_core_cutoff = {width:g} is below 0, where the energy of"
            " every atom would be scaled; at least 0 is supported"
        )


def _bonds(
    data: Mapping[Any, Any], elements: Sequence[str], name: str
) -> tuple[dict[tuple[int, int], dict[str, int]], dict[str, NDArray[np.float64]]]:
    """Limits of the radial functions per ordered pair, and the pair tables of the basis."""
    bonds = data.get("bonds")
    if not isinstance(bonds, Mapping):
        raise InputError(f"{name}: has no bonds; there must be one per ordered pair of elements")
    n = len(elements)
    limits: dict[tuple[int, int], dict[str, int]] = {}
    tables = {key: np.zeros((n, n)) for key in PAIR_TABLES}
    kinds: set[str] = set()
    inner = False
    for a, b in product(range(n), repeat=2):
        bond, where = bonds.get((a, b)), f"{name}: bond {elements[a]}-{elements[b]}"
        if not isinstance(bond, Mapping):
            raise InputError(f"{where} ([{a}, {b}]) is missing")
        check_keys(bond, _BOND, where)
        if bond.get("radbasename") != "ChebExpCos":
            raise InputError(f"{where}: radbasename = {bond.get('radbasename')!r} is not supported; only ChebExpCos is")
        if number(bond.get("prehc", 0.0), f"{where}: prehc") != 0.0:
            raise InputError(f"{where}: prehc = {bond['prehc']}; core repulsion is not supported, only 0 is")
        limits[a, b] = {
            key: int(number(bond.get(key), f"{where}: {key}", whole=True)) for key in ("nradmax", "lmax", "nradbasemax")
        }
        _check_same_run(bond.get("radcoefficients"), limits[a, b], where)
        number(bond.get("lambdahc", 0.0), f"{where}: lambdahc")
        kinds.add(str(bond.get("inner_cutoff_type", "density")))  # LAMMPS's default for files without the key
        inner = inner or number(bond.get("rcut_in", 0.0), f"{where}: rcut_in") > 0.0
        for key, value in zip(PAIR_TABLES, _radial_parameters(bond, where), strict=True):
            tables[key][a, b] = value
    for key in bonds:
        if key not in limits:
            raise InputError(f"{name}: bond {key!r} is between elements that the file does not have")
    if len(kinds) > 1 and inner:
        # LAMMPS keeps one type for all bonds, that of the last
        raise InputError(f"{name}: inner_cutoff_type differs between bonds ({', '.join(sorted(kinds))}); it must not")
    return limits, tables


def _radial_parameters(bond: Mapping[Any, Any], where: str) -> tuple[float, float, float, float, float]:
    """Cutoff, λ, inner cutoff, its width and the outer taper of a bond (`PAIR_TABLES`), as ML-PACE evaluates them."""
    cutoff = number(bond.get("rcut"), f"{where}: rcut")
    if not 0.0 < cutoff <= MOST_CUTOFF:
        raise InputError(f"{where}: rcut = {cutoff:g} Å; it must be above 0 and at most {MOST_CUTOFF:g} Å")
    parameters = bond.get("radparameters")
    if not isinstance(parameters, list) or len(parameters) != 1:
        raise InputError(f"{where}: radparameters = {parameters!r}; one number, λ, is supported")
    lam = number(parameters[0], f"{where}: radparameters")
    if lam == 0.0 or abs(lam) > MAX_LAMBDA:
        raise InputError(
            f"{where}: radparameters = [{lam:g}]; λ must not be 0 and must be from -{MAX_LAMBDA:g} to {MAX_LAMBDA:g}"
        )
    dcut, start, width = (
        number(bond.get(key, default), f"{where}: {key}")
        for key, default in (("dcut", None), ("rcut_in", 0.0), ("dcut_in", _DCUT_IN))
    )
    for key, value in (("dcut", dcut), ("rcut_in", start), ("dcut_in", width)):
        if value < 0.0:
            raise InputError(f"{where}: {key} = {value:g} Å; it must be at least 0 (0 is none)")
    kind = bond.get("inner_cutoff_type", "density")
    if kind not in ("distance", "density"):
        raise InputError(f"{where}: inner_cutoff_type = {kind!r} is not supported; distance and density are")
    if start - width >= cutoff:
        raise InputError(
            f"{where}: rcut_in = {start:g} Å less dcut_in = {width:g} Å is not below rcut = {cutoff:g} Å; all functions"
            " would vanish"
        )
    if kind == "density":  # core repulsion, which is 0 here, takes over from a jump on
        start, width = max(start - width, 0.0), 0.0 if start > width else width
    return cutoff, lam, start, width or _JUMP, dcut or _JUMP


def _check_same_run(coefficients: Any, limit: Mapping[str, int], where: str) -> None:
    """R_nl must be g_n: coefficients[n][l][k] = δ_nk."""
    shape = (limit["nradmax"], limit["lmax"] + 1, limit["nradbasemax"])
    try:
        array = np.array(coefficients, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape != shape:
        raise InputError(f"{where}: radcoefficients must be numbers of shape {shape} (nradmax, lmax + 1, nradbasemax)")
    if not np.array_equal(array, np.broadcast_to(np.eye(shape[0], shape[2])[:, None, :], shape)):
        raise InputError(f"{where}: radcoefficients other than the identity are not supported")


def _functions(
    entries: Sequence[Any],
    mu0: int,
    elements: Sequence[str],
    bonds: Mapping[tuple[int, int], Mapping[str, int]],
    name: str,
    lost: list[float],
) -> tuple[tuple[Label, ...], Mixing | None]:
    """The functions of one central element as trees and weights; `lost` takes what projections left out."""
    parsed = []
    for k, entry in enumerate(entries):
        where = f"{name}: function {k} of {elements[mu0]}"
        parsed.append(_one_function(entry, mu0, len(elements), bonds, where))
    parsed.sort(key=lambda item: len(item[0].ls) != 1)  # stable: rank 1 first, else the file's order
    index: dict[Label, int] = {}
    terms: list[tuple[int, int, float]] = []
    for function, (block, combination) in enumerate(parsed):
        if combination.lost:
            lost.append(combination.lost)
        for Ls, weight in combination.terms:
            terms.append((function, index.setdefault(block._replace(Ls=Ls), len(index)), weight))
    if len(index) == len(parsed) and [(f, t, w) for f, t, w in terms] == [(k, k, 1.0) for k in range(len(parsed))]:
        return tuple(index), None
    return tuple(index), Mixing(
        len(parsed),
        np.array([f for f, _, _ in terms], dtype=np.int32),
        np.array([t for _, t, _ in terms], dtype=np.int32),
        np.array([w for _, _, w in terms], dtype=np.float64),
    )


def _one_function(
    entry: Any, mu0: int, n_elements: int, bonds: Mapping[tuple[int, int], Mapping[str, int]], where: str
) -> tuple[Label, Combination]:
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} is no mapping of mu0, rank, mus, ns, ls, ms_combs and ctildes")
    check_keys(entry, _FUNCTION, where)
    rank = int(number(entry.get("rank"), f"{where}: rank", whole=True))
    if not 1 <= rank <= MAX_RANK:
        raise InputError(f"{where}: rank = {rank}; ranks 1 to {MAX_RANK} are supported")
    if entry.get("mu0", mu0) != mu0:
        raise InputError(f"{where}: mu0 = {entry['mu0']!r} in the list of element {mu0}")
    if entry.get("ndensity", 1) != 1:
        raise InputError(f"{where}: ndensity = {entry['ndensity']!r}; only 1, a linear potential, is supported")
    mus, ns, ls = (integers(entry.get(key), rank, f"{where}: {key}") for key in ("mus", "ns", "ls"))
    for mu, n, l in zip(mus, ns, ls, strict=True):
        if not 0 <= mu < n_elements:
            raise InputError(f"{where}: mus = {list(mus)}; element numbers are 0 to {n_elements - 1}")
        limit = bonds[mu0, mu]
        # R_nl is g_n, and 0 where there is no such g_n
        key = "nradmax" if rank > 1 and limit["nradmax"] < limit["nradbasemax"] else "nradbasemax"
        n_top = limit[key]
        if not 1 <= n <= n_top:
            raise InputError(f"{where}: ns = {list(ns)}; n must be from 1 to {key} = {n_top} of the bond")
        if not 0 <= l <= limit["lmax"]:
            raise InputError(f"{where}: ls = {list(ls)}; l must be from 0 to lmax = {limit['lmax']} of the bond")
    weights = floats(entry.get("ctildes"), f"{where}: ctildes")
    ms = integers(entry.get("ms_combs"), rank * len(weights), f"{where}: ms_combs")
    if entry.get("num_ms_combs", len(weights)) != len(weights):
        raise InputError(f"{where}: num_ms_combs = {entry['num_ms_combs']!r}, but there are {len(weights)} ctildes")
    if rank == 1 and len(weights) != 1:
        raise InputError(f"{where}: num_ms_combs = {len(weights)} at rank 1; it must be 1, LAMMPS takes the first only")
    label = Label(mu0, mus, ns, ls, ())
    triples = list(zip(mus, ns, ls, strict=True))
    found = tree_combination(ls, tuple(triples.index(t) for t in triples), ms, weights)
    if isinstance(found, str):
        raise InputError(f"{where} (mus {list(mus)}, ns {list(ns)}, ls {list(ls)}): {found}")
    return label, found


# ---------------------------------------------------------------------------------------------------------------------
# writing


def write_yace(
    basis: Basis,
    path: str | os.PathLike[str],
    coefs: Sequence[Sequence[float]] | Sequence[float] | NDArray[np.float64] | None = None,
    e0: Sequence[float] | None = None,
) -> None:
    """Write a basis so that LAMMPS gives the same numbers.

    Parameters
    ----------
    coefs : per element one coefficient per function, eV, or all in one vector (n_desc,): the file is then the linear
        potential E = Σ_i (e0 + coefs · B_i), and LAMMPS's descriptors of it are coefs · B function by function.
        Default: ones, and LAMMPS's descriptors are those of `basis`
    e0 : eV per atom of each element; default the basis's own, or 0

    Raises
    ------
    InputError
        Numbers that do not fit the basis; a file that cannot be written.
    """
    expect(basis, Basis, "basis", "write_yace(basis, path)")
    n = basis.n_elements
    columns = _coefficient_rows(basis, coefs)
    try:
        constants = tuple(float(x) for x in (basis.e0 or [0.0] * n if e0 is None else e0))
    except (TypeError, ValueError):
        constants = ()
    if len(constants) != n or not np.isfinite(constants).all():
        raise InputError(f"e0 = {e0}; it must be {n} finite energies in eV, one per element")
    n_max, l_max = max(basis.n_of_l), len(basis.n_of_l) - 1
    unit = [[[int(k == i) for k in range(n_max)] for _ in range(l_max + 1)] for i in range(n_max)]
    lines = [
        f"elements: [{', '.join(repr(e) if e in ('No', 'Y', 'N') else e for e in basis.elements)}]",
        f"E0: {flow(constants)}",
        "deltaSplineBins: 0.001",
        "embeddings:",
    ]
    lines += [
        f"  {k}: {{ndensity: 1, FS_parameters: [1.0, 1.0], npoti: FinnisSinclair, rho_core_cutoff: 100000,"
        " drho_core_cutoff: 250}"
        for k in range(n)
    ]
    lines.append("bonds:")
    for a, b in product(range(n), repeat=2):
        lam = number_text(basis.lam[a, b])
        lines.append(
            f"  [{a}, {b}]: {{nradmax: {n_max}, lmax: {l_max}, nradbasemax: {n_max}, radbasename: ChebExpCos,"
            f" radparameters: [{lam}], radcoefficients: {unit}, prehc: 0, lambdahc: {lam},"
            f" rcut: {number_text(basis.cutoff[a, b])}, dcut: {number_text(basis.taper[a, b])},"
            f" rcut_in: {number_text(basis.cutoff_in[a, b])}, dcut_in: {number_text(basis.taper_in[a, b])},"
            " inner_cutoff_type: distance}"
        )
    lines.append("functions:")
    for mu0 in range(n):
        lines.append(f"  {mu0}:")
        functions = basis.terms(mu0)
        last_rank1 = max((k for k, terms in enumerate(functions) if terms and len(terms[0][0].ls) == 1), default=-1)
        for k, (terms, c) in enumerate(zip(functions, columns[mu0], strict=True)):
            # readers put rank 1 first: what vanishes keeps its place by the rank of those around it
            lines.append("    - " + function_text(mu0, terms, float(c), rank_if_zero=1 if k < last_rank1 else 2))
    try:
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error


def _coefficient_rows(
    basis: Basis, coefs: Sequence[Sequence[float]] | Sequence[float] | NDArray[np.float64] | None
) -> list[NDArray[np.float64]]:
    """One coefficient per function, element by element."""
    if coefs is None:
        return [np.ones(size) for size in basis.sizes]
    try:
        rows = [np.asarray(c, dtype=np.float64) for c in coefs]
        if rows and all(row.ndim == 0 for row in rows) and len(rows) == basis.n_desc:
            flat = np.array(rows)
            rows = [flat[basis.columns(k)] for k in range(basis.n_elements)]
    except (TypeError, ValueError):
        rows = []
    if [row.shape for row in rows] != [(size,) for size in basis.sizes] or not all(np.isfinite(r).all() for r in rows):
        raise InputError(
            f"coefs: must be {basis.n_elements} rows of {list(basis.sizes)} finite numbers, one per function, or one"
            f" vector of {basis.n_desc}"
        )
    return rows
