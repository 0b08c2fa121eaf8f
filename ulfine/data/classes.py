"""Names of classes, as a reader and a text tower take them."""

import unicodedata
from collections.abc import Iterable
from html import unescape
from pathlib import Path

SAME = "read the same: case, underscores, white space, HTML entities and forms of letters do not count; rename one"


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): file systems and archives may take `é` apart."""
    return unicodedata.normalize("NFC", name)


def tidy(text: str) -> str:
    """Text in its composed form, one space for each run of white space, none at its ends."""
    return " ".join(composed(text).split())


def alike(text: str) -> str:
    """The form that texts share when they read the same.

    Case, underscores, white space, invisible characters, HTML entities and the compatibility forms of Unicode (NFKC:
    full-width letters, the ligature ﬁ) do not count. It stands for what tokenizers of CLIP clean away, where none is
    at hand.
    """
    letters = unicodedata.normalize("NFKC", unescape(unescape(text)).replace("_", " "))
    visible = "".join(letter for letter in letters if unicodedata.category(letter) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def pair(one: str, other: str) -> str:
    """Two names for a message, where they must not look the same; it has one space for each run of them."""
    show = ascii if composed(one) == composed(other) else repr
    return f"{show(one)} and {show(other)}".replace("  ", " \\x20")


def shown(names: Iterable[str], where: str | Path) -> list[str]:
    """Names with spaces for underscores, tidy. where: they come from, for messages.

    Raises:
        ValueError: a name is empty or cannot be printed, or two read the same.
    """
    first: dict[str, str] = {}
    found = []
    for name in names:
        if not name.isprintable():
            raise ValueError(f"{where}: the class {name!a} has characters that cannot be printed")
        words = tidy(name.replace("_", " "))
        if not words:
            raise ValueError(f"{where}: a class has no name")
        if (read := alike(name)) in first:
            raise ValueError(f"{where}: the classes {pair(first[read], name)} {SAME}")
        first[read] = name
        found.append(words)
    return found
