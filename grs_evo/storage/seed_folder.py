"""Structures dropped into seeds/ of a run folder."""

from __future__ import annotations

import re

_TAKEN = re.compile(r"(\d+)_r(\d+)_g(\d+)_(.+)")
