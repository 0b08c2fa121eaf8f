"""Rivals of ULFine on the common loop: one module each (docs/rivals.md)."""
