"""Structures of an archive out to other programs.

| question | module |
|---|---|
| which structures, and into which files? | `export` |
| how is each format written? | `formats` |
"""
