"""Plots of the report.

| question | module |
|---|---|
| a plot with its numbers and caption | `plot` |
| what was found | `results` |
| how it was found | `search` |
"""
