"""Molecules of a structure: found by covalent bonds, moved as rigid bodies.

| what | module |
|---|---|
| which atoms hang together, unwrapped | `bonded` |
| the kinds of molecules of a target, with their geometries | `kinds` |
| turn, shift, and forces on bodies | `bodies` |
| bodies too near are pushed apart | `apart` |
"""
