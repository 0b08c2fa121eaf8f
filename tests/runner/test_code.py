"""Hashes of code."""

import ast

import pytest

from ulfine.runner.code import meaning

SOURCE = '''"""A module."""
import os


def area(width: float, height: float = 2.0) -> float:
    """Multiply."""
    return width * height  # of a rectangle
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A module.", "Another text."),
        ("Multiply.", "The product."),
        ("  # of a rectangle", ""),
        ("import os\n", "import os\n\n# why\n"),
        ("width: float, height: float = 2.0", "\n    width: float,\n    height: float = 2.0,\n"),
        ('    """Multiply."""\n', ""),
        ("width * height", "(width * height)"),
    ],
)
def test_comments_docstrings_and_layout_do_not_count(old, new):
    assert old in SOURCE
    assert meaning(ast.parse(SOURCE)) == meaning(ast.parse(SOURCE.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new"), [("*", "+"), ("2.0", "2"), ("2.0", "3.0"), ("height: float", "height: int"), ("os", "sys")]
)
def test_what_a_program_does_counts(old, new):
    assert meaning(ast.parse(SOURCE)) != meaning(ast.parse(SOURCE.replace(old, new)))


def test_the_hash_of_a_program_is_the_same_in_every_version_of_python():
    """Made by Python 3.11: newer versions have more fields in their trees, and other ways to write them out."""
    program = 'def f(a, /, *b: int, c=1, **d):\n    return [x for x in a if x], f"{c!r:>{d}}", ..., None\n'
    assert meaning(ast.parse(program)).startswith("7983eb22b3c17825")
