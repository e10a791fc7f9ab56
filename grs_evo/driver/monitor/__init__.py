"""What people see of a run: on the screen while it runs, in status.json, and at its end.

| what | module |
|---|---|
| lines and the live panel | `console` |
| status.json | `status_file` |
| the closing lines | `summary` |
| whether what was found stands for the target | `closing` |
"""
