"""From nothing to a run: commented run files for what is at hand, the runs that ship, scripts for batch systems.

| what | module |
|---|---|
| what structure files hold, and what follows from it | `look` |
| what a kind of run is, and how its text is set | `kind` |
| all kinds | `kinds` |
| crystals, alloys and slabs | `crystals` |
| melts, glasses and molecules | `disordered` |
| sets of structures, and searches that move away | `sets` |
| the runs that ship | `examples` |
| Slurm, PBS and LSF | `launch` |
"""
