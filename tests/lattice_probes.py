"""Parts of the kernels of lattices, as tests call them: compiled once for all files of tests, and kept."""

from __future__ import annotations

from grs_evo.kernels.compiling import entry_allocating
from grs_evo.kernels.lattice import lattice as kernel


@entry_allocating
def fill_a(tables, occupation, a):
    kernel.fill_a(tables, occupation, a)


@entry_allocating
def settle(loss, occupation, work):
    kernel.settle(loss, occupation, work)


@entry_allocating
def value_changed(loss, scratch, occupation, sites, elements, n, work):
    return kernel.value_changed(loss, scratch, occupation, sites, elements, n, work)
