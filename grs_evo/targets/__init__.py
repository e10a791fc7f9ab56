"""What a search aims at: a distribution of environments.

    structures ─► chunks (2,048 atoms each) ─► describe ─► moments_of ─► merge ─► Target
                  overlap: atoms too near are refused ──┘
    composition ─► random_alloy: exact means, drawn cells ─► sampling: standard errors ─► Target

| about | module |
|---|---|
| moments of environments, and how they merge | `moments` |
| structures of any number and size, or a composition, into a target | `target` |
| a random alloy, without structures | `random_alloy` |
| an alloy with a wanted short-range order | `short_range_order` |
| cluster correlations: wanted, counted, tabulated | `clusters` |
| large structures, a chunk at a time | `chunks` |
| structures described, and atoms that overlap refused | `overlap` |
| samples of environments, and standard errors | `sampling` |
"""
