"""A state packed and unpacked is the same, bit for bit, and goes on as if nothing had been."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from systems import IN_CELLS, ON_FCC, toy_problem

from grs_evo.search.island import advance, start
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.options import IslandOptions
from grs_evo.search.population.archive import archive_hash
from grs_evo.search.state import IslandState, _pack_named, _unpack_named, rng_from_array, rng_to_array
from search.island_cases import same

KINDS = st.sampled_from([np.int64, np.float64, np.int32, np.bool_, np.uint64])


ARRAYS = hnp.arrays(KINDS, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))


@pytest.mark.parametrize("candidates", [ON_FCC, IN_CELLS])
def test_stopped_anywhere_and_gone_on_is_the_same(candidates):
    """run(k + m) = run(k), packed and unpacked, + run(m), for every k."""
    options = IslandOptions(
        population=8, refresh=0.5, collapse=0.9, patience=2, operators=OperatorOptions(adaptive=True)
    )
    problem = toy_problem(candidates, [options])
    through = [start(problem, 0, 3)]
    for _ in range(6):
        through.append(advance(through[-1], problem))
    resumed = IslandState.from_arrays(through[0].to_arrays())
    for state in through[1:]:
        resumed = IslandState.from_arrays(advance(resumed, problem).to_arrays())
        assert same(state, resumed)
    assert archive_hash(resumed.archive) == archive_hash(through[-1].archive)
    assert not same(through[-1], advance(start(problem, 0, 4), problem))


def test_arrays_have_no_objects_and_the_same_keys_for_all():
    islands = [IslandOptions(population=5), IslandOptions(population=9, strategy="gradient")]
    problem = toy_problem(ON_FCC, islands)
    packed = [advance(start(problem, k, 1), problem).to_arrays() for k in range(2)]
    assert packed[0].keys() == packed[1].keys()
    for name in packed[0]:
        one, two = packed[0][name], packed[1][name]
        assert one.dtype == two.dtype
        assert not one.dtype.hasobject
        assert one.shape[1:] == two.shape[1:]


def test_generator_survives_the_journey():
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5, spawn_key=(3,))))
    rng.integers(0, 7, dtype=np.int32)  # leaves half a word behind
    again = rng_from_array(rng_to_array(rng))
    assert rng.integers(0, 100, 50, dtype=np.int32).tolist() == again.integers(0, 100, 50, dtype=np.int32).tolist()
    assert rng.standard_normal(20).tolist() == again.standard_normal(20).tolist()


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("abcdefgh_", min_size=1, max_size=12), ARRAYS, max_size=5))
def test_arrays_of_walks_survive_packing(named):
    back = _unpack_named(_pack_named(named))
    assert back.keys() == named.keys()
    for name, array in named.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()
