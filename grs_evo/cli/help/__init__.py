"""Commands for whoever begins, and those that only look.

| command | module |
|---|---|
| init | `init` |
| guide | `guide` |
| plot | `plot` |
| a command line that cannot be | `refused` |
"""
