"""Terms over all functions.

`structure`: the structure loss (eq. 13); `set`: the set loss (eq. 14); `matched`: the share of functions within the
tolerance; `raw`: the loss without scales.
"""
