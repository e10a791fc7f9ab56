"""Candidates of a disordered target that are not drawn atom by atom.

| what | module |
|---|---|
| whole molecules of the target | `molecules` |
| networks of bonds | `networks` |
| cells cut from the target, anywhere and healed | `carved` |
| cells cut from the target along its atoms, which go on in their images | `pieces` |
"""
