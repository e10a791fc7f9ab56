"""Evolutionary search for generalized representative structures (GRS)."""

__version__ = "0.1.0"
