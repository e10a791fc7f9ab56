"""A parent cell into its symmetry-distinct supercells (Hart and Forcade, Phys. Rev. B 77, 224115 (2008))."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grs_evo.errors import InputError
from grs_evo.kernels.geometry.hermite import image_codes
from grs_evo.structures.structure import Structure
from grs_evo.structures.symmetry import Matrix, rotations

# Supercells before symmetry that are looked through: up to 41 sites of a one-site parent, which takes some seconds
# (nearly all of them to build the 2,900 distinct ones of fcc).
MOST_FORMS = 50_000

# Forms that are looked at together, to bound memory.
_AT_ONCE = 1000

# c/a of hcp where atoms touch their twelve neighbours: √(8/3).
IDEAL_C_OVER_A = 1.6329931618554521


def hermite_forms(volume: int) -> NDArray[np.int64]:
    """All Hermite normal forms [[a,b,d],[0,c,e],[0,0,f]] with acf = volume, 0 ≤ b < c, 0 ≤ d, e < f; (k, 3, 3).

    Rows are the superlattice vectors in the parent's; each sublattice of this index appears once: σ-type counts
    1, 7, 13, 35, 31, 91, …
    """
    forms = []
    for a in range(1, volume + 1):
        if volume % a:
            continue
        for c in range(1, volume // a + 1):
            if (volume // a) % c:
                continue
            f = volume // (a * c)
            b, d, e = np.meshgrid(np.arange(c), np.arange(f), np.arange(f), indexing="ij")
            block = np.zeros((b.size, 3, 3), np.int64)
            block[:, 0, 0], block[:, 1, 1], block[:, 2, 2] = a, c, f
            block[:, 0, 1], block[:, 0, 2], block[:, 1, 2] = b.ravel(), d.ravel(), e.ravel()
            forms.append(block)
    return np.concatenate(forms)


def number_of_forms(volume: int) -> int:
    """How many Hermite normal forms of this volume there are, without making them: Σ c f² over a c f = volume."""
    divisors = [d for d in range(1, volume + 1) if volume % d == 0]
    return sum(c * (volume // (a * c)) ** 2 for a in divisors for c in divisors if (volume // a) % c == 0)


def distinct_forms(volume: int, operations: Matrix) -> NDArray[np.int64]:
    """One Hermite normal form of each class that the operations map onto each other, (k, 3, 3): the first of each."""
    forms = hermite_forms(volume)
    # A lattice is its own image through a point: of two operations that differ by that, one is enough.
    proper = np.unique(operations * np.rint(np.linalg.det(operations)).astype(np.int64)[:, None, None], axis=0)
    own = image_codes(forms, np.eye(3, dtype=np.int64)[None], volume)[:, 0]
    order = np.argsort(own)
    images = image_codes(forms, proper, volume)
    first = order[np.searchsorted(own, images.ravel(), sorter=order)].reshape(images.shape).min(axis=1)
    distinct: NDArray[np.int64] = forms[first == np.arange(len(forms))]
    return distinct


def most_compact(cell: NDArray[np.float64], volume: int, number: int) -> NDArray[np.int64]:
    """The Hermite normal forms whose sites are farthest from their own images, (≤ number, 3, 3), best first.

    Of equal distances the one with fewer nearest images is the more compact.
    """
    forms = hermite_forms(volume)
    reach = 1.13 * (volume * abs(np.linalg.det(cell))) ** (1 / 3)  # no lattice of this density is sparser
    spans = np.floor(reach * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(int) + 1
    grid = np.stack(np.meshgrid(*(np.arange(-s, s + 1) for s in spans), indexing="ij"), -1).reshape(-1, 3)
    lengths = np.linalg.norm(grid @ cell, axis=1)
    near = (lengths > 0) & (lengths <= reach)
    order = np.argsort(lengths[near], kind="stable")
    vectors, lengths = grid[near][order], lengths[near][order]
    adjugates = np.rint(np.linalg.inv(forms.astype(np.float64)) * volume).astype(np.int64)
    shortest, nearest = np.empty(len(forms)), np.empty(len(forms))
    for start in range(0, len(forms), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        inside = (vectors @ adjugates[part] % volume == 0).all(-1)  # (part, n_vectors)
        shortest[part] = lengths[inside.argmax(1)]
        nearest[part] = (inside & (lengths <= shortest[part, None] + 1e-6)).sum(1)
    best: NDArray[np.int64] = forms[np.lexsort((nearest, -shortest.round(6)))[:number]]
    return best


def most_symmetric(cell: NDArray[np.float64], volume: int, number: int, operations: Matrix) -> NDArray[np.int64]:
    """Of each class of equal supercells one Hermite normal form, those that keep most of the symmetry first.

    They are ranked by the number of operations that they keep, times the cube of the distance of a site from its own
    image: of a long cell a subgroup leaves few orbits to choose from.

    Parameters
    ----------
    number : of forms, at most

    Raises
    ------
    InputError
        There are too many supercells to look through.
    """
    if (total := number_of_forms(volume)) > MOST_FORMS:
        raise InputError(
            f"the parent has {total} supercells of {volume} cells before symmetry; at most {MOST_FORMS} are looked "
            "through: give vectors, or take a smaller cell"
        )
    forms = distinct_forms(volume, operations)
    adjugates = np.rint(np.linalg.inv(forms.astype(np.float64)) * volume).astype(np.int64)
    kept = np.array(
        [
            ((form @ operations @ one) % volume == 0).all((1, 2)).sum()
            for form, one in zip(forms, adjugates, strict=True)
        ]
    )
    grid = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    grid = grid[(grid != 0).any(1)]
    apart = np.array([np.linalg.norm(grid @ reduced(form @ cell)[0], axis=1).min() for form in forms])
    best: NDArray[np.int64] = forms[np.argsort(-(kept * apart**3).round(6), kind="stable")[:number]]
    return best


def reduced(cell: NDArray[np.float64]) -> tuple[NDArray[np.float64], Matrix]:
    """A compact basis of the same lattice, pairs and triples reduced, and the integer matrix M with result = M cell."""
    m = np.eye(3, dtype=np.int64)
    rows = cell.copy()
    for _ in range(1000):
        order = np.argsort((rows**2).sum(1), kind="stable")
        rows, m = rows[order], m[order]
        # The longest vector against all small combinations of the others, then the middle one against the shortest.
        changed = False
        length = float((rows[2] ** 2).sum())
        best, best_length = (0, 0), length
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                trial = float(((rows[2] + i * rows[0] + j * rows[1]) ** 2).sum())
                if trial < best_length - 1e-9 * length:
                    best, best_length = (i, j), trial
        if best != (0, 0):
            rows[2] += best[0] * rows[0] + best[1] * rows[1]
            m[2] += best[0] * m[0] + best[1] * m[1]
            changed = True
        shift = int(np.rint(float(rows[1] @ rows[0]) / float(rows[0] @ rows[0])))
        if shift and ((rows[1] - shift * rows[0]) ** 2).sum() < (1 - 1e-9) * (rows[1] ** 2).sum():
            rows[1] -= shift * rows[0]
            m[1] -= shift * m[0]
            changed = True
        if not changed:
            break
    if np.linalg.det(rows) * np.linalg.det(cell) < 0:
        rows, m = -rows, -m
    return m @ cell, m


def heights(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Perpendicular heights of the cell along its three vectors, Å."""
    a, b, c = cell
    normals = np.array([np.cross(b, c), np.cross(c, a), np.cross(a, b)])
    spans: NDArray[np.float64] = np.abs(np.einsum("ij,ij->i", cell, normals)) / np.sqrt((normals**2).sum(1))
    return spans


def build(cell: NDArray[np.float64], sites: NDArray[np.float64], form: Matrix, compact: bool = True) -> Structure:
    """The supercell with vectors `form @ cell`; atom i sits on the parent's site i modulo the number of those.

    Species are all 0: occupations come later.
    """
    big = form @ cell
    if compact:
        big, m = reduced(big)
        form = m @ form
    # The integer points of the supercell: all combinations that fall into the unit interval of its own coordinates.
    corners = np.array(np.meshgrid(*[[0, 1]] * 3)).reshape(3, -1).T @ form
    spans = [np.arange(lo, hi + 1) for lo, hi in zip(corners.min(0), corners.max(0), strict=True)]
    points = np.array(np.meshgrid(*spans, indexing="ij")).reshape(3, -1).T
    volume = round(float(np.linalg.det(form.astype(np.float64))))
    adjugate = np.rint(np.linalg.inv(form.astype(np.float64)) * volume).astype(np.int64)
    # In integers, so that no point is lost or doubled by rounding.
    scaled = points @ adjugate * np.sign(volume)
    inside = points[((scaled >= 0) & (scaled < abs(volume))).all(1)]
    positions = ((inside[:, None, :] + sites[None, :, :]) @ cell).reshape(-1, 3)
    return Structure(positions, big, np.zeros(len(positions), np.int32), np.ones(3, bool))


def supercells(
    cell: NDArray[np.float64],
    sites: NDArray[np.float64],
    sizes: tuple[int, int],
    min_height: float = 0.0,
    kinds: NDArray[np.int64] | None = None,
    most: int | None = None,
) -> list[Structure]:
    """All symmetry-distinct supercells with a number of sites in `sizes` (both included) and heights ≥ min_height Å.

    Parameters
    ----------
    most : of each size, the most compact ones alone
    """
    n = len(sites)
    volumes = range(max(1, -(-sizes[0] // n)), sizes[1] // n + 1)
    total = 0
    for volume in volumes:
        total += number_of_forms(volume)
        if total > MOST_FORMS:
            raise InputError(
                f"sizes: are {sizes[0]} to {sizes[1]} atoms, but up to {volume * n} atoms alone the {n}-site parent has"
                f" {total} supercells before symmetry; at most {MOST_FORMS} are looked through: take a narrower range"
            )
    operations = rotations(cell, sites, kinds)
    found = []
    for volume in volumes:
        forms = distinct_forms(volume, operations) if most is None else most_compact(cell, volume, most)
        for form in forms:
            structure = build(cell, sites, form)
            if heights(structure.cell).min() >= min_height - 1e-9:
                found.append(structure)
    return found
