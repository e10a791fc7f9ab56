"""What compiled geometry returns, and where its scratch is kept."""

from __future__ import annotations

# Results of the compiled entry points.
OK, GROW, OVERLAP, NOT_FINITE, SINGULAR = 0, 1, 2, 3, 4


# Columns of Work.parts, one row per range of atoms that a thread sorts: the ranges of coordinates they span (12), how
# many images they can have, where those begin and end, and how many atoms a range of sorted images holds.
PART_SPANS, PART_POSSIBLE, PART_FROM, PART_IMAGES, PART_HOME, PART = 0, 12, 13, 14, 15, 16


# Rows of it: sorting is shared out over no more threads.
MOST_PARTS = 64

# Work.kept: numbers, then the first candidate of each atom and neighbour element.
MODE, VALID, IMAGES, BUILDS, SECTIONS = 0, 1, 2, 3, 8
OFF, STARTING, ON = range(3)  # MODE
