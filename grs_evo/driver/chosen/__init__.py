"""What a run file leaves to its target: written out before a run begins, with a line about each decision.

| what | module |
|---|---|
| what is decided altogether, and told? | `decided` |
| which frames does the search see? | `frames` |
| which basis resolves the target? | `basis` |
"""
