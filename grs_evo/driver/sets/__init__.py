"""A representative set between the rounds of a run: what islands offer, what joins or gives way, when it is done.

| what | module |
|---|---|
| the set and the problem after each round, the same on every rank and after a resume | `progress` |
| what rank 0 makes of a round's candidates, by moments or by information | `judgement` |
| a pool of structures to choose from, described by all ranks | `sharing` |
"""
