"""Choosing a study: its file replaces `study` and `grid` in params.yaml; the catalogue and the comments stay."""

import re
from pathlib import Path

KEYS = ("study", "grid")


def with_study(params: str, study: str) -> str:
    """The text of params.yaml with the `study` and `grid` of a study file.

    Raises:
        ValueError: the study file holds anything but these two keys.
    """
    replacement = _blocks(study)
    if sorted(replacement) != sorted(KEYS):
        raise ValueError(f"a study holds the keys {' and '.join(KEYS)}, found {', '.join(replacement) or 'none'}")
    text = params
    for key, block in _blocks(params).items():
        if key in KEYS:
            text = text.replace(block, replacement[key], 1)
    return text


def _blocks(text: str) -> dict[str, str]:
    """Top-level key to its lines; what stands before the next key at the left margin belongs to that one."""
    return {match[1]: match[0] for match in re.finditer(r"^(\w+):.*\n(?:[ \t]+.*\n)*", text, re.MULTILINE)}


def studies(folder: Path) -> list[str]:
    """Names of the studies in a folder."""
    return sorted(path.stem for path in folder.glob("*.yaml"))
