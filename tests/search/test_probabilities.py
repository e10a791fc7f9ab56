"""Which operators are drawn, how often, and what is said when none can act."""

from __future__ import annotations

import numpy as np
import pytest
import small

from grs_evo.driver.config.run_file import read
from grs_evo.driver.setup import make_problem, make_target_data
from grs_evo.errors import InputError
from grs_evo.search.candidates.binding import bind
from grs_evo.search.candidates.source import CandidateOptions
from grs_evo.search.operators.options import OperatorOptions
from grs_evo.search.operators.probabilities import adapt, check_operators, draw_operator, probabilities
from grs_evo.search.operators.table import operators
from search.operator_cases import (
    CHEMICAL,
    OPERATORS,
    OPTIONS,
    SOURCES,
)

CROSSOVERS = [one.name for one in operators() if one.is_crossover]


def test_only_operators_that_can_act_are_drawn():
    def drawn(kind, rule, **options):
        rows = probabilities(SOURCES[kind, rule].limits, OperatorOptions(**options))
        return [{OPERATORS[k] for k in np.flatnonzero(np.diff(row, prepend=0.0) > 0)} for row in rows]

    assert drawn("lattice", "fractions") == [{"occupation"}, {"swap", "swaps", "replace"}]
    assert drawn("lattice", "free") == [{"occupation"}, {"swap", "swaps", "flip", "flips", "replace"}]
    assert {"add", "remove"} <= drawn("cells", "free")[1]
    assert not {"add", "remove"} & drawn("size", "free")[1]
    assert drawn("sublattice", "free")[0] == {"occupation"}
    assert not drawn("cells", "free", spatial=1.0)[1] & set(CHEMICAL)
    assert drawn("cells", "free", spatial=0.0)[1] <= set(CHEMICAL)
    assert "volume" not in drawn("cells", "free", weights={"volume": 0.0})[1]
    one = bind(CandidateOptions(kind="random", sizes=(8, 8), number_density=0.05), ("Ta",))
    by_crossover, _ = probabilities(one.limits, OPTIONS)
    assert {draw_operator(np.random.default_rng(k), by_crossover).name for k in range(20)} == {"slice"}


def test_chemical_against_spatial_probability():
    _, row = probabilities(SOURCES["cells", "free"].limits, OperatorOptions(spatial=0.8))
    share = np.diff(row, prepend=0.0)
    chemical = sum(share[k] for k, name in enumerate(OPERATORS) if name in CHEMICAL)
    assert chemical == pytest.approx(0.2)
    assert not any(share[OPERATORS.index(name)] for name in CROSSOVERS)


NO_CHEMISTRY = dict.fromkeys(("swap", "flip", "swaps", "flips"), 0.0)


@pytest.mark.parametrize(
    ("strategy", "options", "parts"),
    [
        ("random_walk", {"spatial": 0.0, "weights": NO_CHEMISTRY}, ("random_walk cannot move", "swap, flip")),
        ("descent", {"weights": dict.fromkeys(OPERATORS, 0.0)}, ("descent cannot move", "(weight 0)")),
        (
            "genetic",
            {"weights": dict.fromkeys(OPERATORS, 0.0)},
            ("genetic cannot move", "slice, occupation", "weight 0"),
        ),
        (
            "genetic",
            {"crossover": 0.0, "spatial": 0.0, "weights": NO_CHEMISTRY},
            ("occupation (crossover = 0)", "slice, displace_one", "(spatial = 0)"),
        ),
        ("annealing", {"spatial": 0.0, "weights": {"replace": 1.0, **NO_CHEMISTRY}}, ("add, remove (spatial = 0)",)),
    ],
)
def test_what_cannot_move_is_refused_with_its_causes(strategy, options, parts):
    """Such a search would end as finished after one structure, or be a random search in disguise."""
    with pytest.raises(InputError) as caught:
        check_operators(SOURCES["cells", "free"].limits, OperatorOptions(**options), strategy, "search.operators")
    message = str(caught.value)
    assert message.startswith("search.operators: no operator can act under these limits")
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_what_cannot_be_as_asked_for_is_said():
    def notes(kind, rule, **options):
        return check_operators(SOURCES[kind, rule].limits, OperatorOptions(**options), "genetic", "search.operators")

    assert notes("cells", "free") == notes("lattice", "free") == notes("lattice", "fractions") == ()
    (note,) = notes("lattice", "free", crossover=1.0, weights={"occupation": 0.0})
    assert "search.operators.crossover: is 1, but" in note
    assert "slice (atoms stay on their sites); occupation (weight 0)" in note
    mutations = {name: 0.0 for name in OPERATORS if name not in CROSSOVERS}
    (note,) = notes("lattice", "fractions", weights=mutations)
    assert "all children come by crossover" in note
    assert "flip, flips (fixed composition)" in note
    assert notes("lattice", "fractions", weights=mutations, crossover=1.0) == ()
    (note,) = notes("lattice", "free", weights={**NO_CHEMISTRY, "occupation": 0.0})
    assert "only replace can act" in note


def test_the_group_of_islands_that_cannot_move_is_named(tmp_path):
    groups = "[[islands]]\ncount = 2\n[[islands]]\nstrategy = 'random_walk'\noperators.spatial = 0.0\n"
    cells = 'kind = "random"\nsizes = [4, 8]'
    text = small.LATTICE.replace("islands = 5\n", "").replace(
        'kind = "lattice"\nlattice = "fcc"\nrepeat = [2, 1, 1]', cells
    )
    weights = "operators.weights = {swap = 0.0, flip = 0.0, swaps = 0.0, flips = 0.0}\n"

    def problem(extra):
        run = read(small.write(tmp_path, text.replace("[migration]", f"{extra}[migration]")))
        return make_problem(run, make_target_data(run, tmp_path), tmp_path)

    assert problem(groups).notes == ()
    with pytest.raises(InputError, match=r"^islands\[1\]\.operators: no operator can act .* random_walk cannot move"):
        problem(groups + weights)
    with pytest.raises(InputError, match=r"^search\.operators: no operator can act"):
        problem("strategy = 'descent'\noperators.spatial = 0.0\n" + weights)


def test_adaptive_rates_follow_success_and_keep_a_floor():
    options = OperatorOptions(adaptive=True, floor=0.2)
    rates = np.ones(len(OPERATORS))
    tries, successes = np.zeros(len(OPERATORS), int), np.zeros(len(OPERATORS), int)
    swap, flip = OPERATORS.index("swap"), OPERATORS.index("flip")
    tries[[swap, flip]], successes[swap] = 50, 40
    for _ in range(100):
        rates = adapt(rates, tries, successes, options)
    assert rates.mean() == pytest.approx(1.0)
    assert rates[swap] > 1.5
    assert 0.1 < rates[flip] < 0.3
    assert np.array_equal(adapt(rates, tries, successes, OperatorOptions()), rates)
