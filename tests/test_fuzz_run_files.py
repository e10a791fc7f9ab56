"""Damaged run files are answered in a line or run; none hangs or shows an inner error (`run_files.py` makes them)."""

from __future__ import annotations

import pytest
import run_files


def test_damaged_run_files_are_answered() -> None:
    counts = run_files.tried(40, 1)
    assert sum(counts.values()) == 40
    assert counts["refused"] > 20
    assert counts["run"] > 0


@pytest.mark.torture
def test_thousands_of_damaged_run_files_are_answered() -> None:
    counts = run_files.tried(5000, 2)
    print(counts)
    assert sum(counts.values()) == 5000
