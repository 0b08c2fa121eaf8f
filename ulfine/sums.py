"""A sum that is the same on every Python."""

from collections.abc import Iterable
from functools import reduce
from operator import add


def total(values: Iterable[float]) -> float:
    """The sum, from left to right; the built-in one rounds otherwise since Python 3.12. 0 for none."""
    return reduce(add, values, 0)
