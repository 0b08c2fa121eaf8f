"""Class names: how they are normalised, shown and compared."""

import unicodedata
from collections.abc import Iterable
from html import unescape
from pathlib import Path

SAME = "read the same: case, underscores, white space, HTML entities and forms of letters do not count; rename one"


def composed(name: str) -> str:
    """Return the name in Unicode's composed form (NFC); file systems and archives may decompose `é`."""
    return unicodedata.normalize("NFC", name)


def tidy(text: str) -> str:
    """Return the text composed, with single spaces for runs of white space and none at the ends."""
    return " ".join(composed(text).split())


def alike(text: str) -> str:
    """Return a form that is equal for texts that read the same.

    It ignores case, underscores, white space, invisible characters, HTML entities and Unicode's compatibility forms
    (NFKC: full-width letters, the ligature ﬁ), which approximates what CLIP's tokenizers clean away when no tokenizer
    is at hand.
    """
    letters = unicodedata.normalize("NFKC", unescape(unescape(text)).replace("_", " "))
    visible = "".join(letter for letter in letters if unicodedata.category(letter) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def pair(one: str, other: str) -> str:
    """Format two names so that they look different even in a message whose runs of spaces are collapsed."""
    show = ascii if composed(one) == composed(other) else repr
    return f"{show(one)} and {show(other)}".replace("  ", " \\x20")


def shown(names: Iterable[str], where: str | Path) -> list[str]:
    """Return tidy names with spaces for underscores. where: their origin, for messages.

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
