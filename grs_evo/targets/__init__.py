"""What a search aims at: a distribution of environments.

| question | module |
|---|---|
| moments of environments, and how they merge | `moments` |
| structures of any number and size into a target | `target` |
| a random alloy, without structures | `random_alloy` |
| large structures, a chunk at a time | `chunks` |
| atoms that overlap | `overlap` |
| samples and standard errors | `sampling` |
"""
