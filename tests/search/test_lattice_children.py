"""Children from compiled code: those that the operators in Python make of the same random numbers, to the bit."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
from systems import toy_problem
from test_loss_lattice import objective, system

from grs_evo.kernels.compiling import probe
from grs_evo.kernels.digest import BLOCK_WORDS, digest64
from grs_evo.loss.lattice import make_lattice_objective
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.options import GeneticOptions, IslandOptions
from grs_evo.search.strategies import genetic
from search.island_cases import run, same
from search.lattice_cases import rules


@probe
def digest(words, n_bytes):
    return digest64(words, n_bytes, np.empty(16, np.uint64), np.empty(8, np.uint64))


@pytest.mark.parametrize("n", [1, 100, 128, 129, 200, 256, 1000])
def test_digests_are_those_of_blake2b(n: int) -> None:
    message = np.random.default_rng(n).integers(256, size=n, dtype=np.uint8)
    words = np.zeros(-(-n // (8 * BLOCK_WORDS)) * BLOCK_WORDS, np.uint64)
    words.view(np.uint8)[:n] = message
    wanted = int.from_bytes(blake2b(message.tobytes(), digest_size=8).digest(), "little")
    assert digest(words, n) == wanted


def problem_with(rule: str, **genetic_options: int):
    """Three elements on 36 sites."""
    island = IslandOptions(
        population=12, genetic=GeneticOptions(**genetic_options), operators=OperatorOptions(crossover=0.5)
    )
    judge, template = objective("three elements", variance=0.0), system("three elements")[1]
    problem = toy_problem(CandidateOptions(lattice="sc", a=3.0, composition="free"), [island], judge)
    composition = rules()[rule][0]
    limits = replace(
        problem.sources[0].limits, sizes=(36, 36), composition=composition, min_distance=np.full((3, 3), 0.5)
    )
    source = replace(problem.sources[0], templates=(template,), limits=limits, sizes=(36,), elements=("A", "B", "C"))
    lattice = make_lattice_objective(judge, template)
    return replace(problem, sources=(source,), lattices=(lattice,))


@pytest.mark.parametrize("options", [{}, {"memory": 0}, {"passes": 1}], ids=["", "repeats", "local passes"])
@pytest.mark.parametrize("rule", ["free", "limits", "no pure elements", "sublattices, counts"])
def test_children_do_not_depend_on_who_makes_them(monkeypatch, rule: str, options: dict[str, int]) -> None:
    problem = problem_with(rule, **options)
    fast = run(problem, 6)
    monkeypatch.setattr(genetic, "child_rules", lambda *_: None)
    slow = run(problem, 6)
    for one, other in zip(fast, slow, strict=True):
        assert same(one, other)
    assert fast[-1].tries.sum() >= 50
