"""The names that make up a cell."""

NAMES = ("dataset", "split", "backbone", "method", "seed")  # in the order of its paths
NO_BACKBONE = "none"  # stands for the backbone of a baseline, which has none
