"""The parts of the report, in their order.

| part | module |
|---|---|
| what was searched for | `overview` |
| what was found | `structures` |
| how well it matches | `match` |
| the front, and how the search went | `search` |
"""
