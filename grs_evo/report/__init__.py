"""One HTML page about a run, which opens offline.

| question | module |
|---|---|
| put it together | `report` |
| what was asked, as far as an archive tells | `context` |
| numbers as text | `formatting` |
| the page itself | `page` |
| pictures of structures | `structure_view` |
| the parts of the page | `sections/` |
| its plots | `plots/` |
"""
