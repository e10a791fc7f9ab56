"""Compiled ACE descriptors: values of all functions of all atoms, and gradients of any function Q of them.

    positions ─► images, pairs ─► radial, harmonics ─► density: A ─► interpreter: B        `engine.describe_into`
                 (geometry)                                │
    dQ/dR, dQ/dε ◄── pairs ◄── adjoints of the moments ◄── dQ/dA ◄── interpreter ◄── dQ/dB  `adjoint.pull_into`

| about | module |
|---|---|
| a basis as flat tables, and the scratch arrays of a structure | `tables` |
| entry points: values of one structure, and of a range of its atoms | `engine` |
| pair functions R_n(r) and their slopes | `radial` |
| real spherical harmonics, and weighted sums of them with their gradients | `harmonics` |
| atomic densities A | `density` |
| products of A by the basis's program, step by step or in strips that share a factor | `interpreter` |
| from dQ/dB to the gradient of Q | `adjoint` |
| which atoms share vector lanes | `slots` |
"""
