"""Disks that fail and power cuts: no run comes to a wrong archive, and none loses more than one interval."""

from __future__ import annotations

import sys

import faults
import pytest

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim of tests/faults.c is for Linux"),
    pytest.mark.skipif(faults.compiler() is None, reason="no C compiler to make the shim of tests/faults.c with"),
]


@pytest.mark.long
@pytest.mark.parametrize(("sharded", "seed"), [(False, 1), (True, 2)])
def test_writes_flushes_and_renames_that_fail(sharded: bool, seed: int) -> None:
    found = faults.tried(30, seed, sharded)
    assert found["wrong"] == []
    assert found["faults"] == 30


@pytest.mark.torture
@pytest.mark.parametrize("sharded", [False, True])
def test_a_thousand_faults(sharded: bool) -> None:
    found = faults.tried(1000, 7, sharded)
    print(found)
    assert found["wrong"] == []
