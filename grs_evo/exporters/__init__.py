"""Structures of an archive out to other programs.

| what | module |
|---|---|
| which structures, and into which files? | `export` |
| how is each format written? | `formats` |
"""
