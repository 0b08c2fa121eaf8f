"""Names of classes, as a reader and a text tower take them."""

from collections.abc import Iterable
from pathlib import Path


def shown(names: Iterable[str], where: str | Path) -> list[str]:
    """Names with spaces for underscores. where: they come from, for messages.

    Raises:
        ValueError: a name is empty or cannot be printed, or two are alike but for case or underscores.
    """
    first: dict[str, str] = {}
    found = []
    for name in names:
        words = name.replace("_", " ")
        if not words.isprintable():
            raise ValueError(f"{where}: the class {name!a} has characters that cannot be printed")
        if not words.strip():
            raise ValueError(f"{where}: a class has no name")
        if words.casefold() in first:
            other = first[words.casefold()]
            raise ValueError(f"{where}: the classes {other!r} and {name!r} are alike but for case or underscores")
        first[words.casefold()] = name
        found.append(words)
    return found
