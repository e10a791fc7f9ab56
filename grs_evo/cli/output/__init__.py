"""Commands that write structures.

| of | module |
|---|---|
| a run, or a labelled set | `export` |
| an alloy: large cells | `alloy` |
"""
