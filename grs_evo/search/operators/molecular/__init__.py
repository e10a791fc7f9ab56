"""What operators do where a structure consists of molecules.

| what | module |
|---|---|
| shift, turn, another geometry, exchange of places, cell | `moves` |
| a slab of another parent's molecules | `crossover` |
"""
