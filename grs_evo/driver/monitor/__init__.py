"""What people see of a run: on the screen while it runs, in status.json, and at its end.

| what | module |
|---|---|
| who speaks, when, and where to | `console` |
| the state as a line and as a panel | `display` |
| the terminal behind a launcher | `terminal` |
| status.json | `status_file` |
| the closing lines | `summary` |
| the floor, and frames kept out, while it runs | `beside` |
| whether what was found stands for the target | `closing` |
"""
