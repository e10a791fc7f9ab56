"""Compiled ACE descriptors: values of all functions of all atoms, and the pull of given slopes on positions.

    positions -> images, pairs (geometry) -> radial, harmonics -> density A -> interpreter: B -> adjoint: dB/dR

| question | module |
|---|---|
| what does a structure need in memory, and which tables does a basis become? | `tables` |
| values and pull of one structure | `engine` |
| pair functions R_n(r) and their slopes | `radial` |
| real spherical harmonics | `harmonics` |
| atomic densities A | `density` |
| products of A by the basis's program | `interpreter` |
| the same backwards | `adjoint` |
| which intermediate stands where | `slots` |
"""
