"""Choosing a study: its file replaces `study` and `grid` in params.yaml; the catalogue and the comments stay."""

import re
from pathlib import Path

KEYS = ("study", "grid")


def with_study(params: str, study: str) -> str:
    """The text of params.yaml with the `study` and `grid` of a study file.

    Raises:
        ValueError: the study file holds anything but these two keys.
    """
    replacement = {block[1]: block[0] for block in _blocks(_ended(study))}
    if sorted(replacement) != sorted(KEYS):
        raise ValueError(f"a study holds the keys {' and '.join(KEYS)}, found {', '.join(replacement) or 'none'}")
    text = _ended(params)
    for block in reversed(_blocks(text)):
        if block[1] in KEYS:
            text = text[: block.start()] + replacement[block[1]] + text[block.end() :]
    return text


def _blocks(text: str) -> list[re.Match[str]]:
    """Each top-level key with its lines; blank lines and comments after the last of them belong to what follows."""
    return list(re.finditer(r"^(\w+):.*\n(?:(?:[ \t]*(?:#.*)?\n)*[ \t]+[^\s#].*\n)*", text, re.MULTILINE))


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def studies(folder: Path) -> list[str]:
    """Names of the studies in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))
