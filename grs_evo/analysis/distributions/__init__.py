"""Distributions of environments side by side: arrays of descriptors in, numbers out.

| what | module |
|---|---|
| which descriptors does an archive, a target or a structure file have? | `environments` |
| along which directions do they spread? | `components` |
| how much of the target's volume does a set cover (V_rep, eq. 18)? | `coverage` |
| how do single functions distribute, and how far apart are they (SI 1)? | `histograms` |
| how far apart are moments (Fig. 7), and where is the floor between halves of a target? | `distances` |
| which share of a target lies near a set (SI 2)? | `nearness` |
| what have a set and a target in common, and what does the set hold beside it? | `shared` |
| how do several sets lie in one plane (t-SNE, SI 2)? | `embedding` |
"""
