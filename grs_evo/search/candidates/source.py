"""Candidates: occupations on parent lattices and their supercells, random cells at a density, given templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import factorial, inf, prod
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from grs_evo.errors import InputError
from grs_evo.kernels.geometry.contacts import cartesian, cell_heights, inverse, push_apart
from grs_evo.options import Options
from grs_evo.plugins import Answer
from grs_evo.search.candidates.disordered.carved import Whole, carve, carve_molecules
from grs_evo.search.candidates.disordered.molecules import place_molecules
from grs_evo.search.candidates.disordered.pieces import Cuttable, cut_piece
from grs_evo.search.candidates.lattices.supercells import IDEAL_C_OVER_A
from grs_evo.search.candidates.limits import Limits, volume
from grs_evo.structures.composition import draw_occupation
from grs_evo.structures.structure import SOUND, Structure, is_sound

Reject = Callable[[str], None]

# How often a random cell is drawn anew before the candidate is given up and counted.
_TRIES = 20
# Parent cells of a candidate; those that stand for a large system are a thousand times smaller.
_MOST_CELLS = 100_000
_SWEEPS = 400


_Three = tuple[int, int, int]
Vectors = tuple[_Three, _Three, _Three]


class CandidateOptions(Options):
    """Where candidates come from and what they must keep."""

    kind: Literal["lattice", "supercells", "random", "templates"] = Field(
        default="lattice",
        description="lattice: one repeated parent; supercells: all distinct supercells of a parent within `sizes`; "
        "random: random atoms in random cells; templates: the structures of `file`",
    )
    lattice: str = Field(
        default="target",
        description="parent: sc, bcc, fcc, hcp, diamond; target: found from its sites; file: the cell in `file`",
    )
    file: str | None = Field(
        default=None,
        description="structure file of the parent cell or of the templates, with an optional index: file@-1",
    )
    a: float | None = Field(default=None, gt=0, description="lattice constant; default: from the target's density [Å]")
    c_over_a: float = Field(default=IDEAL_C_OVER_A, gt=0, description="of hcp [1]")
    cubic: bool = Field(default=True, description="repeat the conventional cell instead of the primitive one")
    repeat: tuple[int, int, int] = Field(default=(2, 2, 2), description="repetitions of the parent cell (lattice) [1]")
    sizes: tuple[int, int] | None = Field(
        default=None,
        description="smallest and largest number of atoms (supercells, random, and what add/remove may reach)",
    )
    compact: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="supercells of each size that are taken, those whose sites are farthest from their own images; "
        "default: all [1]",
        json_schema_extra={"written": "when given"},
    )
    shapes: Annotated[int, Field(ge=1, le=1000)] | tuple[Vectors, ...] | None = Field(
        default=None,
        description="cells of other shapes and as many sites, which symmetric walks take in turn: how many, those that "
        "keep most of the lattice's symmetry, or the vectors of each in those of the parent cell [1]",
        json_schema_extra={"written": "when given"},
    )
    height: float = Field(default=0.0, ge=0, description="minimum perpendicular height of a cell [Å]")
    shape: Literal["cubic", "orthorhombic", "triclinic"] = Field(default="triclinic", description="of random cells")
    number_density: float | None = Field(
        default=None, gt=0, description="atoms per volume; default: the target's [1/Å³]"
    )
    density: tuple[float, float] = Field(
        default=(0.99, 1.01), description="range of the density of random cells, relative to the number density [1]"
    )
    volume: tuple[float, float] = Field(
        default=(0.8, 1.25),
        description="volume per atom that operators and relaxation may reach, relative to the start's reference [1]",
    )
    min_distance: Annotated[float, Field(gt=0)] | dict[str, float] | None = Field(
        default=None, description="smallest distance of two atoms; default: `contact` of the covalent radii [Å]"
    )
    contact: float = Field(
        default=0.6, gt=0, le=2, description="smallest distance as a share of the sum of covalent radii [1]"
    )
    counts: dict[str, int] | None = Field(default=None, description="fixed number of atoms of each element")
    fractions: dict[str, float] | None = Field(default=None, description="fixed fractions, rounded to whole atoms")
    limits: dict[str, tuple[float, float]] | None = Field(
        default=None, description="smallest and largest fraction of elements; others are free"
    )
    composition: Literal["target", "free", "keep"] | None = Field(
        default=None,
        description="when no counts, fractions or limits are given: the target's fractions, free, or (templates) as in "
        "the file; default: keep for templates, else target",
    )
    endpoints: bool = Field(default=True, description="whether candidates of one element only are allowed")
    sites: tuple[tuple[str, ...], ...] | None = Field(
        default=None, description="elements allowed on each site of the parent cell (or of the one template), in order"
    )
    pinned: dict[str, str] = Field(
        default={}, description="site index of the final cell -> element that stays there; `fixed` keeps the place"
    )
    fixed: tuple[int, ...] = Field(
        default=(),
        description="sites of the final cell (lattice, or one template) whose atoms never move: they keep their "
        "fractional coordinates, and the element they have in `file` where candidates keep those [–]",
    )
    carved: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="with kind random: share of candidates cut from the target, anywhere and turned by chance, and "
        "healed at their seam; the target needs a periodic structure of twice as many atoms [1]",
        json_schema_extra={"written": "when given"},
    )
    carved_between_atoms: bool = Field(
        default=False,
        description="edges of carved cells run from an atom of the target to others of its element, so that a crystal, "
        "strained or not, goes on in the images, and at a surface through some layers into a vacuum; such cells need "
        "no healing, and the target no periods [–]",
        json_schema_extra={"written": "when given"},
    )
    molecules: bool | None = Field(
        default=None,
        description="with kind random: candidates consist of the target's molecules, which are placed and moved whole; "
        "default: where the target consists of molecules [–]",
        json_schema_extra={"written": "when given"},
    )
    network: bool | None = Field(
        default=None,
        description="with kind random: candidates are networks with the target's bonds and numbers of neighbours, made "
        "by exchange of bonds and kept in relaxation; default: where the target is one, as silica is [–]",
        json_schema_extra={"written": "when given"},
    )
    rattle: float = Field(default=0.0, ge=0, description="standard deviation of random displacements [Å]")
    rattled: float = Field(default=1.0, ge=0, le=1, description="share of candidates that are rattled [1]")
    strain: float = Field(
        default=0.0, ge=0, description="standard deviation of each component of a random strain of candidates [1]"
    )
    between: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of candidates that lie between two templates of the same atoms: positions and cells are "
        "mixed in a random proportion (templates) [1]",
    )
    symprec: float = Field(default=0.01, gt=0, description="tolerance when the parent is found from the target [Å]")
    generator: str | None = Field(
        default=None,
        description="with kind random: a source of cells from outside the package, module:variable or the name of an"
        " entry point; limits hold for it as for others [–]",
        json_schema_extra={"written": "when given"},
    )

    @model_validator(mode="after")
    def _consistent(self) -> CandidateOptions:
        given = [name for name in ("counts", "fractions", "limits") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} are given; a composition needs only one of counts, fractions, limits"
            )
        for name in ("sizes", "density", "volume"):
            pair = getattr(self, name)
            if pair is not None and not 0 < pair[0] <= pair[1]:
                raise ValueError(f"{name} is {list(pair)}; must be [smallest, largest] with 0 < smallest <= largest")
        if self.molecules and self.generator is not None:
            raise ValueError("molecules is true and a generator is given; only one of them makes the cells")
        if self.network and (self.generator is not None or self.molecules):
            raise ValueError("network is true, so that neither molecules nor a generator may be given")
        if self.carved > 0.0 and self.generator is not None:
            raise ValueError(f"carved is {self.carved:g}, so that no generator may be given")
        if self.carved_between_atoms and self.carved == 0.0:
            raise ValueError("carved_between_atoms is true, but no cells are carved: give carved, the share of them")
        if self.carved_between_atoms and self.molecules:
            raise ValueError("carved_between_atoms cuts through molecules; molecules cannot be true with it")
        if self.generator is not None and self.kind != "random":
            raise ValueError(f'generator makes cells of its own, so kind must be "random", not "{self.kind}"')
        if min(self.repeat) < 1:
            raise ValueError(f"repeat is {list(self.repeat)}; each number must be at least 1")
        if prod(self.repeat) > _MOST_CELLS:
            raise ValueError(
                f"repeat is {list(self.repeat)}, that is {prod(self.repeat):.2g} parent cells; at most {_MOST_CELLS:g}"
            )
        return self


def minimum_distances(options: CandidateOptions, elements: tuple[str, ...], where: str) -> NDArray[np.float64]:
    """(n_el, n_el) Å below which no two atoms may come; InputError where what is given is no pair or no distance."""
    if isinstance(options.min_distance, float | int):
        return np.full((len(elements), len(elements)), float(options.min_distance))
    from ase.data import atomic_numbers, covalent_radii

    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in elements])
    shortest: NDArray[np.float64] = options.contact * (radii[:, None] + radii[None, :])
    for pair, distance in (options.min_distance or {}).items():
        names = pair.split("-")
        if len(names) != 2 or not set(names) <= set(elements):
            raise InputError(f"{where}.min_distance: {pair!r} is no pair of the elements {', '.join(elements)}")
        if not distance > 0:
            raise InputError(f"{where}.min_distance: {pair} is {distance} Å; it must be > 0")
        a, b = (elements.index(name) for name in names)
        shortest[a, b] = shortest[b, a] = distance
    return shortest


@dataclass(frozen=True, eq=False)
class CandidateGenerator:
    """Where candidates come from besides what this package draws."""

    name: str
    # (random numbers, source) -> a structure, whose species count in `source.elements`; None: this try came to nothing
    draw: Callable[[np.random.Generator, Source], Structure | None]

    ANSWERS: ClassVar[Mapping[str, Answer]] = {
        "draw": Answer(
            f"{SOUND}, or None", lambda drawn, rng, source: drawn is None or is_sound(drawn, len(source.elements))
        )
    }


@dataclass(frozen=True, eq=False)
class Source:
    """Candidate options bound to elements and target: ready to draw from."""

    options: CandidateOptions
    elements: tuple[str, ...]
    limits: Limits
    templates: tuple[Structure, ...]  # empty for random cells; species matter only when `keep`
    keep: bool  # occupations of the templates are kept
    sizes: tuple[int, ...]  # numbers of atoms that keep the composition rule, for random cells
    volume_per_atom: float  # Å³, at the reference density
    generator: CandidateGenerator | None = None  # from outside the package
    carved: tuple[Whole, ...] = ()  # structures of the target that cells are cut from
    pieces: tuple[Cuttable, ...] = ()  # and those that they are cut from along atoms
    shapes: tuple[Structure, ...] = ()  # cells of other shapes, for walks that keep a part of the symmetry

    @property
    def one_lattice(self) -> bool:
        """Whether all candidates are occupations of one and the same set of sites."""
        return len(self.templates) == 1 and self.limits.lattice and not self.keep

    @property
    def max_structures(self) -> float:
        """An upper bound of how many structures there can be; inf where atoms move."""
        if not self.limits.lattice:
            return inf
        return sum(self._occupations(one.n_atoms) for one in self.templates)

    def _occupations(self, n: int) -> float:
        mask, rule = self.limits.mask(n), self.limits.composition
        choices = [len(self.elements)] * n if mask is None else mask.sum(1).tolist()
        bounds = rule.bounds(n)
        if not rule.fixed or bounds is None:
            return prod(choices)
        return min(prod(choices), factorial(n) // prod(factorial(int(k)) for k in bounds[0]))


def without_effort(source: Source) -> Source:
    """The same source, whose networks come as their first bonds leave them."""
    limits = source.limits
    if limits.network is None:
        return source
    return replace(source, limits=replace(limits, network=replace(limits.network, effort=0.0)))


def candidate(rng: np.random.Generator, source: Source, reject: Reject | None = None) -> Structure | None:
    """A new candidate that keeps the source's limits, or None after a bounded number of tries.

    Parameters
    ----------
    reject : called with the cause of every throw-away
    """
    for _ in range(_TRIES):
        structure, cause = _drawn(rng, source)
        if structure is not None and source.options.rattle > 0.0 and rng.random() < source.options.rattled:
            structure = _rattled(rng, structure, source)
        if structure is not None and source.options.strain > 0.0:
            structure = _strained_cell(rng, structure, source)
        if structure is not None:
            cause = source.limits.violation(structure)
            if cause is None:
                return structure
        if reject is not None and cause is not None:
            reject(cause)
    return None


def _rattled(rng: np.random.Generator, structure: Structure, source: Source) -> Structure:
    """A structure under random displacements of its atoms, or of its molecules as a whole."""
    moves = source.options.rattle * rng.standard_normal(structure.positions.shape)
    moves[~source.limits.movable(structure.n_atoms)] = 0.0
    molecules = source.limits.molecules
    known = None if molecules is None else molecules.bodies(structure)
    if known is not None:
        moves = moves[known[0].group]  # one of as many as there are atoms for each molecule
    return structure.replace(positions=structure.positions + moves)


def _strained_cell(rng: np.random.Generator, structure: Structure, source: Source) -> Structure:
    """A structure under a random strain, which moves molecules as a whole."""
    molecules = source.limits.molecules
    known = None if molecules is None else molecules.bodies(structure)
    if known is None:
        return strained(rng, structure, source.options.strain)
    bodies = known[0]
    at_centres = strained(rng, structure.replace(positions=bodies.centres[bodies.group]), source.options.strain)
    return at_centres.replace(positions=at_centres.positions + bodies.arms)


def _drawn(rng: np.random.Generator, source: Source) -> tuple[Structure | None, str | None]:
    if source.generator is not None:
        structure = source.generator.draw(rng, source)
        return structure, None if structure is not None else "packing"
    return _random(rng, source) if not source.templates else _occupied(rng, source)


def _random(rng: np.random.Generator, source: Source) -> tuple[Structure | None, str | None]:
    options, limits = source.options, source.limits
    if source.pieces and rng.random() < options.carved:
        uncut = source.pieces[int(rng.random() * len(source.pieces))]
        piece = cut_piece(rng, uncut, limits.sizes, limits)
        return piece, None if piece is not None else "packing"
    n = source.sizes[int(rng.random() * len(source.sizes))]
    species = np.zeros(n, np.int32)
    if limits.molecules is None:
        drawn = draw_occupation(rng, limits.composition, limits.allowed, n)
        if drawn is None:
            return None, "composition"
        species = drawn
    low, high = options.density
    total = n * source.volume_per_atom / (low + (high - low) * rng.random())
    cell = random_cell(rng, total, options.shape)
    if min(cell_heights(inverse(cell))) < max(limits.height, float(limits.min_distance.diagonal().min())):
        return None, "height"
    if source.carved and rng.random() < options.carved:
        whole = source.carved[int(rng.random() * len(source.carved))]
        if limits.molecules is not None:
            cut = carve_molecules(rng, whole, limits.molecules, n, cell)
        else:
            cut = carve(rng, whole.structure, limits, cell, np.bincount(species, minlength=limits.n_elements))
        return cut, None if cut is not None else "packing"
    if limits.molecules is not None:
        made = place_molecules(rng, limits.molecules, n, cell)
        return made, None if made is not None else "packing"
    positions, sweeps = push_apart(
        cartesian(rng.random((n, 3)), cell),
        cell,
        species,
        np.ones(3, np.bool_),
        limits.min_distance,
        np.ones(n, np.bool_),
        _SWEEPS,
    )
    if sweeps < 0:
        return None, "packing"
    return Structure(positions, cell, species, np.ones(3, bool)), None


def random_cell(rng: np.random.Generator, total: float, shape: str) -> NDArray[np.float64]:
    """A cell of `total` Å³: cubic, or with edges up to 1.25 times shorter or longer, or tilted up to 0.25 as well."""
    cell = np.eye(3)
    if shape != "cubic":
        cell *= np.exp(np.log(1.25) * (2.0 * rng.random(3) - 1.0))[:, None]
    if shape == "triclinic":
        tilt = 0.25 * (2.0 * rng.random(3) - 1.0)
        cell[1, 0], cell[2, 0], cell[2, 1] = tilt * cell.diagonal()[[0, 0, 1]]
    scaled: NDArray[np.float64] = cell * (total / volume(cell)) ** (1.0 / 3.0)
    return scaled


def _occupied(rng: np.random.Generator, source: Source) -> tuple[Structure | None, str | None]:
    template = source.templates[int(rng.random() * len(source.templates))]
    if source.options.between > 0.0 and rng.random() < source.options.between:
        template = _between(rng, template, source.templates)
    if source.keep:
        return template, None
    species = draw_occupation(rng, source.limits.composition, source.limits.mask(template.n_atoms), template.n_atoms)
    return (None, "composition") if species is None else (template.replace(species=species), None)


def strained(rng: np.random.Generator, structure: Structure, deviation: float) -> Structure:
    """A structure under a random symmetric strain of its periodic directions; fractional positions stay."""
    drawn = deviation * rng.standard_normal((3, 3))
    along = np.outer(structure.pbc, structure.pbc)
    change = np.eye(3) + np.where(along, (drawn + drawn.T) / 2.0, 0.0)
    return structure.replace(positions=structure.positions @ change, cell=structure.cell @ change)


def _between(rng: np.random.Generator, one: Structure, templates: Sequence[Structure]) -> Structure:
    """A structure between this template and another of the same atoms, along the shortest ways; itself if alone."""
    others = [
        other
        for other in templates
        if other is not one and np.array_equal(other.species, one.species) and np.array_equal(other.pbc, one.pbc)
    ]
    if not others:
        return one
    other = others[int(rng.random() * len(others))]
    start, end = (each.positions @ np.linalg.inv(each.cell) for each in (one, other))
    way = end - start
    way -= np.where(one.pbc, np.round(way), 0.0)
    share = rng.random()
    cell = (1.0 - share) * one.cell + share * other.cell
    return one.replace(positions=(start + share * way) @ cell, cell=cell)
