"""Choosing a study: its file replaces `study` and `grid` in params.yaml; everything else stays, comments included."""

import re
from pathlib import Path
from typing import Any

from ulfine.params.base import parsed

KEYS = ("study", "grid")


def with_study(params: str, study: str) -> str:
    """Return the text of params.yaml with the `study` and `grid` of a study file.

    Raises:
        ValueError: the keys of the study file are not exactly these two.
    """
    replacement = {block[1]: block[0] for block in _blocks(_ended(study))}
    if sorted(replacement) != sorted(KEYS):
        raise ValueError(f"a study holds the keys {' and '.join(KEYS)}, found {', '.join(replacement) or 'none'}")
    text = _ended(params)
    for block in reversed(_blocks(text)):
        if block[1] in KEYS:
            text = text[: block.start()] + replacement[block[1]] + text[block.end() :]
    return text


def own_study(params: str) -> str:
    """Return the text of a study file with the `study` and `grid` of params.yaml, including comments inside them."""
    return "".join(block[0] for block in _blocks(_ended(params)) if block[1] in KEYS)


def choose(folder: Path, params: str, name: str) -> str:
    """Return the text of params.yaml with the study `name` of `folder`.

    Raises:
        ValueError: the present study and grid are in no file of `folder`, and would be lost.
    """
    own = _said(own_study(params))
    if not any(own == _said(own_study(path.read_text(encoding="utf-8"))) for path in folder.glob("*.yaml")):
        raise ValueError(
            f"the present study and grid are in no file of {folder}/ and would be lost; give them a name of their own "
            "(study: NAME) and keep them with `ulfine save`, or undo the edit"
        )
    return with_study(params, (folder / f"{name}.yaml").read_text(encoding="utf-8"))


def _said(text: str) -> tuple[dict[str, Any], list[str]]:
    """Return values and comments regardless of layout: DVC's experiments write each entry of a list on its own line."""
    return parsed(text, "the present study"), re.findall(r"(?:^|(?<=\s))#.*", text)


def _blocks(text: str) -> list[re.Match[str]]:
    """Match each top-level key with its lines; blank lines and comments after them belong to the next key."""
    return list(re.finditer(r"^(\w+):.*\n(?:(?:[ \t]*(?:#.*)?\n)*[ \t]+[^\s#].*\n)*", text, re.MULTILINE))


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def studies(folder: Path) -> list[str]:
    """Return the names of the studies in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))
