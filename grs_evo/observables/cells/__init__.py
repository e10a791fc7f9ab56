"""Observables of whole cells.

| what | module |
|---|---|
| how dense is it? | `density` |
| how many atoms of each element? | `composition` |
| along which directions does it go on? | `periodicity` |
| which symmetry has it? | `space_group` |
| which molecules does it hold, and are they whole? | `molecules` |
"""
