"""The parts of the report, in their order.

| part | module |
|---|---|
| what was searched for | `overview` |
| what was found | `structures` |
| does it stand for the target? g(r), angles and other observables | `observables` |
| how well it matches | `match` |
| the front, and how the search went | `search` |
"""
