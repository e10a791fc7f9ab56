"""Tests of `grs_evo.search`: one file a module. A package, so that other folders may have files of the same names."""
