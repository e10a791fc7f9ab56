"""Commands for whoever begins.

| command | module |
|---|---|
| init | `init` |
| guide | `guide` |
"""
