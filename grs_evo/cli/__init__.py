"""The command line `grs-evo`: arguments to calls, results to text, errors to one line and an exit code.

| command | module |
|---|---|
| all of them, and exit codes | `commands` |
| options of those that read structure files | `files` |
| check | `check` |
| guide, init, plot | `help` |
| export | `output` |
| label | `label` |
| refit | `refit` |
| score | `score` |
| select | `select` |
| status | `status` |
"""

from grs_evo.cli.commands import cli, main

__all__ = ["cli", "main"]
