"""One HTML page about a run, which opens offline.

| what | module |
|---|---|
| put it together | `report` |
| what was searched for, as far as an archive tells | `context` |
| the parts of the page | `sections/` |
| the page itself, and everything on its way into HTML | `page`, `page.css`, `page.js` |
| a figure (see `grs_evo.analysis.figures`) for the browser | `plot` |
| structures: stills and data for the 3-D view | `structure_view` |
| what the loss terms are, in words | `formatting` |
"""
