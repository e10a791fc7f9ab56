"""Options of the search and its operators: what they refuse."""

from __future__ import annotations

import pytest

from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.options import GeneticOptions, IslandOptions, SelectionOptions, WalkOptions


def test_unknown_weight_is_named():
    with pytest.raises(ValueError, match=r"'swop' is not an operator.*did you mean 'swap'"):
        OperatorOptions(weights={"swop": 1.0})


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match=r"the weight of swap is -1\.0; must be 0 or more"):
        OperatorOptions(weights={"swap": -1.0})


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (OperatorOptions, {"crossover": 1.5}),
        (OperatorOptions, {"several": 1}),
        (GeneticOptions, {"survival": "all"}),
        (WalkOptions, {"t_end": 0.0}),
        (SelectionOptions, {"tournament": 0}),
        (IslandOptions, {"strategy": "luck"}),
        (IslandOptions, {"populations": 5}),
    ],
)
def test_values_out_of_bounds_and_unknown_names_are_refused(kind, options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        kind(**options)
