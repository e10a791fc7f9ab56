"""Slow and obvious: what the descriptors are by definition, in plain loops, to check the fast code against."""

from __future__ import annotations

from itertools import product
from math import cos, exp, factorial, pi, sqrt

import numpy as np
from scipy.special import lpmv


def radial(r, n_max, cutoff, lam, taper, cutoff_in=0.0, taper_in=0.01):
    """g_1 … g_n_max of LAMMPS's ChebExpCos at one distance."""
    if r >= cutoff or (cutoff_in > 0 and r <= cutoff_in - taper_in):
        return np.zeros(n_max)
    x = 1 - 2 * (exp(-lam * r / cutoff) - exp(-lam)) / (1 - exp(-lam))
    envelope = (1 + cos(pi * r / cutoff)) / 2
    if r > cutoff - taper:
        envelope *= (1 + cos(pi * (r - (cutoff - taper)) / taper)) / 2
    if cutoff_in > 0 and r < cutoff_in:
        t = 1 - 2 * (1 + (r - cutoff_in) / taper_in)
        envelope *= 1 / 2 - 15 / 4 * (t / 4 - t**3 / 6 + t**5 / 20)
    chebyshev = [1.0, x]
    while len(chebyshev) < n_max:
        chebyshev.append(2 * x * chebyshev[-1] - chebyshev[-2])
    return np.array([envelope if n == 1 else (1 - chebyshev[n - 1]) / 2 * envelope for n in range(1, n_max + 1)])


def harmonic(l, m, vector):
    """√4π Y_lm of a direction, Condon–Shortley phase."""
    if m < 0:
        return (-1) ** m * np.conj(harmonic(l, -m, vector))
    x, y, z = vector / np.linalg.norm(vector)
    norm = sqrt((2 * l + 1) * factorial(l - m) / factorial(l + m))
    return norm * lpmv(m, l, z) * np.exp(1j * m * np.arctan2(y, x))


def images(structure, reach):
    """All lattice translations that can bring an atom within `reach` of another one of the cell."""
    heights = abs(np.linalg.det(structure.cell)) / np.array(
        [np.linalg.norm(np.cross(structure.cell[(k + 1) % 3], structure.cell[(k + 2) % 3])) for k in range(3)]
    )
    fractional = structure.positions @ np.linalg.inv(structure.cell)
    spread = np.ptp(fractional, axis=0)
    n = [int(np.ceil(reach / heights[k] + spread[k])) if structure.pbc[k] else 0 for k in range(3)]
    return [np.array(s) @ structure.cell for s in product(*(range(-k, k + 1) for k in n))]


def atomic_base(structure, basis, i):
    """A[mu, n, l, m] of atom i as a dictionary of complex numbers."""
    A = {}
    for mu in range(len(basis.elements)):
        for l, n_max in enumerate(basis.n_of_l):
            for n, m in product(range(1, n_max + 1), range(-l, l + 1)):
                A[mu, n, l, m] = 0.0
    a = structure.species[i]
    for j in range(len(structure.species)):
        b = structure.species[j]
        for shift in images(structure, basis.cutoff.max()):
            vector = structure.positions[j] + shift - structure.positions[i]
            r = np.linalg.norm(vector)
            if (j == i and not shift.any()) or r >= basis.cutoff[a, b]:
                continue
            g = radial(
                r, max(basis.n_of_l), basis.cutoff[a, b], basis.lam[a, b], basis.taper[a, b],
                basis.cutoff_in[a, b], basis.taper_in[a, b],
            )  # fmt: skip
            for l, n_max in enumerate(basis.n_of_l):
                for m in range(-l, l + 1):
                    y = harmonic(l, m, vector)
                    for n in range(1, n_max + 1):
                        A[b, n, l, m] += g[n - 1] * y
    return A


def clebsch_gordan(l1, m1, l2, m2, L, M):
    """⟨l1 m1 l2 m2 | L M⟩, the formula of any textbook (Racah)."""
    if m1 + m2 != M or not abs(l1 - l2) <= L <= l1 + l2 or abs(M) > L:
        return 0.0
    f = factorial
    front = sqrt((2 * L + 1) * f(L + l1 - l2) * f(L - l1 + l2) * f(l1 + l2 - L) / f(l1 + l2 + L + 1))
    front *= sqrt(f(L + M) * f(L - M) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2))
    total = 0.0
    for k in range(l1 + l2 - L + 1):
        below = [k, l1 + l2 - L - k, l1 - m1 - k, l2 + m2 - k, L - l2 + m1 + k, L - l1 - m2 + k]
        if min(below) >= 0:
            total += (-1) ** k / np.prod([float(f(b)) for b in below])
    return front * total


def couple(left, right, l1, l2, L):
    """Two sets of amplitudes coupled to one of momentum L: {m: value}."""
    out = dict.fromkeys(range(-L, L + 1), 0.0)
    for m1, m2 in product(range(-l1, l1 + 1), range(-l2, l2 + 1)):
        if abs(m1 + m2) <= L:
            out[m1 + m2] += clebsch_gordan(l1, m1, l2, m2, L, m1 + m2) * left[m1] * right[m2]
    return out


def function(label, A):
    """B of one label: neighbours in the list coupled two by two, an odd one waits, until one with L = 0 is left."""
    parts = [
        (l, {m: A[mu, n, l, m] for m in range(-l, l + 1)})
        for mu, n, l in zip(label.mus, label.ns, label.ls, strict=True)
    ]
    intermediate = [*label.Ls, 0]
    while len(parts) > 1:
        level = []
        for k in range(0, len(parts) - 1, 2):
            (l1, left), (l2, right) = parts[k], parts[k + 1]
            L = intermediate.pop(0)
            level.append((L, couple(left, right, l1, l2, L)))
        if len(parts) % 2:
            level.append(parts[-1])
        parts = level
    value = parts[0][1][0]
    assert abs(np.imag(value)) <= 1e-9 * (1 + abs(value)), "an invariant of even parity is real"
    return np.real(value)


def descriptors(structure, basis, atoms=None):
    """B (n_atoms, max functions), each atom's own block from column 0."""
    out = np.zeros((len(structure.species), max(basis.sizes)))
    for i in range(len(structure.species)) if atoms is None else atoms:
        A = atomic_base(structure, basis, i)
        a = structure.species[i]
        trees = np.array([function(label, A) for label in basis.labels[a]])
        mixing = basis.mixing[a]
        if mixing is None:
            out[i, : len(trees)] = trees
        else:
            for k, t, weight in zip(mixing.function, mixing.tree, mixing.weight, strict=True):
                out[i, k] += weight * trees[t]
    return out


def file_function(entry, A):
    """One function of a `.yace` as LAMMPS evaluates it: real part of the sum over its m combinations."""
    rank = entry["rank"]
    ms = np.reshape(entry["ms_combs"], (-1, rank))
    total = 0.0
    for row, c in zip(ms, entry["ctildes"], strict=True):
        term = c
        for mu, n, l, m in zip(entry["mus"], entry["ns"], entry["ls"], row, strict=True):
            term = term * A[mu, n, l, int(m)]
        total += np.real(term)
    return total


def real_rows(A, n_of_l, n_elements):
    """A as rows of real harmonics, in the order of program.py."""
    rows = []
    for mu in range(n_elements):
        for l, n_max in enumerate(n_of_l):
            for n, m in product(range(1, n_max + 1), range(-l, l + 1)):
                value = A[mu, n, l, abs(m)]
                rows.append(
                    np.real(value) if m == 0
                    else sqrt(2) * (-1) ** m * (np.real(value) if m > 0 else np.imag(value))
                )  # fmt: skip
    return np.array(rows)


def complex_base(rows, n_of_l, n_elements):
    """The inverse of `real_rows`: A[mu, n, l, m] from rows of real harmonics."""
    A, at = {}, 0
    for mu in range(n_elements):
        for l, n_max in enumerate(n_of_l):
            for n in range(1, n_max + 1):
                real = dict(zip(range(-l, l + 1), rows[at : at + 2 * l + 1], strict=True))
                at += 2 * l + 1
                A[mu, n, l, 0] = real[0]
                for m in range(1, l + 1):
                    A[mu, n, l, m] = (-1) ** m * (real[m] + 1j * real[-m]) / sqrt(2)
                    A[mu, n, l, -m] = (real[m] - 1j * real[-m]) / sqrt(2)
    return A


def run_program(program, a_rows, adjoint_b=None):
    """A bilinear program step by step: B (n_functions, lanes), and dQ/dA (n_a, lanes) if dQ/dB is given."""
    lanes = a_rows.shape[1]
    buffer = np.zeros((2 * program.n_rows, lanes), dtype=a_rows.dtype)
    buffer[: program.n_a] = a_rows
    buffer[program.n_a] = 1.0

    def run(dst, start, x, y, c):
        for s, row in enumerate(dst):
            steps = range(start[s], start[s + 1])
            buffer[row] = sum((c[t] * buffer[x[t]] * buffer[y[t]] for t in steps), np.zeros(lanes))

    run(program.fwd_dst, program.fwd_start, program.fwd_x, program.fwd_y, program.fwd_c)
    values = buffer[program.b_rows].copy()
    if adjoint_b is None:
        return values, None
    buffer[program.n_rows + program.b_rows] = adjoint_b
    run(program.bwd_dst, program.bwd_start, program.bwd_x, program.bwd_y, program.bwd_c)
    return values, buffer[program.n_rows : program.n_rows + program.n_a].copy()


def run_layout(layout, buffer):
    """One direction of a program as the compiled interpreter runs it, on `buffer` (rows, lanes)."""
    for kind, width, first, last in layout.phases.tolist():
        for k in range(first, last):
            if kind == 0:
                steps = range(layout.start[k], layout.start[k + 1])
                buffer[layout.dst[k]] = sum(
                    (layout.c[t] * buffer[layout.x[t]] * buffer[layout.y[t]] for t in steps), np.zeros(buffer.shape[1])
                )
                continue
            own = slice(layout.base[k], layout.base[k] + width)
            for t in range(layout.strip_start[k], layout.strip_start[k + 1]):
                other = buffer[layout.other[t] : layout.other[t] + width]
                if kind == 1:
                    buffer[layout.scalar[t]] = layout.factor[t] * (buffer[own] * other).sum(axis=0)
                else:
                    buffer[own] += layout.factor[t] * buffer[layout.scalar[t]] * other
