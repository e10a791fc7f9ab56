"""Terms over all functions: the structure loss and the set loss, matched functions, the loss without scales."""
