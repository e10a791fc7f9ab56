"""What a search did, from its archive and history: arrays in, numbers out.

| what | module |
|---|---|
| how fast did it come down? | `convergence` |
| where does a structure come from? | `genealogy` |
| how large is the front, generation by generation? | `hypervolume` |
| how do the archives of several runs become one? | `merging` |
"""
