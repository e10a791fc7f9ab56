"""Which tests run when nothing is asked for: all but the long torture series."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "torture" in str(config.option.markexpr):
        return
    kept = [item for item in items if "torture" not in item.keywords]
    if len(kept) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if "torture" in item.keywords])
        items[:] = kept
