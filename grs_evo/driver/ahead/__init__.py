"""Compiling before the first run: `grs-evo warm-up`.

| what | module |
|---|---|
| compile what one kind of run needs, alone or with other processes | `warm_up` |
| small runs that need what real ones do | `kinds` |
"""
