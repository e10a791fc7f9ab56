"""Structures into ACE descriptors (eqs. 8-12): which functions there are, and their values and gradients.

    options ─► basis: labels (n, l, L) ─► program: shared products ─► compiled engine (kernels.ace)
                 ▲      angular, coupling ─┘                                │
    .yace ◄─► yace/                              structure ─► describe ◄────┘ ─► values, gradients

| about | module |
|---|---|
| the options of a basis, cutoffs per pair of elements | `options` |
| which (n, l, L) a basis holds, in which order; its text form | `basis` |
| descriptors of a structure, and the gradient of any function of them | `describe` |
| couplings of angular momenta; which invariants are independent | `angular` |
| nested couplings as products that functions share | `coupling` |
| which multiplications the compiled engine does, in which order | `program` |
| functions that are equal up to scale on all sites of one lattice | `equivalence` |
| the pair functions of given vectors, for tables of fixed sites | `pair_functions` |
| threads that share the chunks of large structures | `threads/` |
| a basis written for and read from LAMMPS | `yace/` |
"""
