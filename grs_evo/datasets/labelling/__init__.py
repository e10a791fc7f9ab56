"""Energies and forces that calculators found, joined to the structures they were made for.

    outputs of calculators -> results -> each with the structure it belongs to -> labelled extended XYZ

| what | module |
|---|---|
| files and folders of outputs into energies, forces and stresses | `results` |
| is this the same cell, and which atom is which? | `matching` |
| results to structures; what is missing, what does not fit | `join` |
| structures that are there twice, labels that cannot be | `doubts` |
"""
