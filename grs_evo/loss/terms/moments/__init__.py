"""Terms that compare one moment of the functions with the target's; parts of `totals.structure`."""
