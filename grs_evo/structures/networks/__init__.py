"""Atoms that are held together by directed bonds, each with its number of them, as in silica.

| what | module |
|---|---|
| what lengths, angles and numbers of bonds are usual | `usual` |
| a structure into a network with these numbers, relaxed | `bonding` |
"""
