"""Towers, adapters and classifiers."""
