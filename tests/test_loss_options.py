"""What the run file may say of the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import small

from grs_evo.driver.config.run_file import parse, read
from grs_evo.driver.config.toml import to_toml
from grs_evo.errors import InputError
from grs_evo.loss.options import LossOptions


@pytest.mark.parametrize(
    ("changes", "compares"),
    [
        ({}, True),
        ({"w_structure": 0.0}, False),
        ({"w_structure": 0.0, "w_set": 1.0}, True),
        ({"mean": 0.0, "variance": 0.0}, False),
        ({"mean": 0.0, "variance": 0.0, "w_entropy": 1.0}, True),
        ({"w_structure": 0.0, "terms": {"a:B": 1.0}}, True),
        ({"w_structure": 0.0, "terms": {"a:B": {"width": 0.1}}}, True),
        ({"w_structure": 0.0, "terms": {"a:B": {"weight": 0.0}, "a:C": 0.0}}, False),
    ],
)
def test_a_loss_compares_where_a_weight_is_not_zero(changes: dict[str, Any], compares: bool) -> None:
    assert LossOptions(**changes).compares is compares


def test_further_terms_are_written_where_there_are_any(tmp_path: Path) -> None:
    """Files, and the fingerprints of checkpoints, of runs without them stay as they were."""
    plain = read(small.write(tmp_path))
    assert "terms" not in [line.partition(" =")[0] for line in to_toml(plain).splitlines()]
    more = parse(small.LATTICE + '[loss.terms]\n"a.b:C" = 0.5\nd = {weight = -1.0, width = 2}\n', "run file")
    text = to_toml(more)
    assert 'terms = {"a.b:C" = 0.5, d = {weight = -1.0, width = 2}}' in text
    assert parse(text, "again") == more


def test_terms_are_numbers_or_tables() -> None:
    with pytest.raises(InputError, match=r"terms"):
        LossOptions(terms={"a:B": "much"})  # type: ignore[dict-item]
