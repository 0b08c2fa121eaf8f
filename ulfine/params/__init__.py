"""Typed parameters: one file per section of params.yaml."""
