"""Structures into counts.

| what | module |
|---|---|
| how are pairs and environments of structures of any size counted? | `survey` |
| how far are the neighbours of some environments, for set-up? | `sampled` |
| where do the first peak and the first minimum lie? | `shells` |
| where may a cutoff lie? | `cutoffs` |
| where is vacuum, and which volume do atoms fill? | `extent` |
"""
