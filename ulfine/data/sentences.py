"""The sentences that the text tower reads for each class: its name in every template, or sentences of its own."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, StrictStr, StringConstraints, Tag

from ulfine.data.classes import alike, pair, shown, tidy
from ulfine.files import located, proved
from ulfine.params.base import read_yaml, validated
from ulfine.params.dataset import CheckedFile, ClassNames


def _without_braces(text: str) -> str:
    if "{" in text or "}" in text:
        raise ValueError("braces are filled in `prompt` alone; write the name itself in their place")
    return text


Said = Annotated[
    StrictStr,
    StringConstraints(strip_whitespace=True, min_length=1),
    AfterValidator(_without_braces),
    AfterValidator(tidy),
]
Called = Annotated[
    Annotated[Said, Tag("name")] | Annotated[list[Said], Field(min_length=1), Tag("sentences")],
    Discriminator(lambda value: "sentences" if isinstance(value, list) else "name"),
]


def sentences(classes: list[str], templates: list[str], names: ClassNames) -> list[list[str]]:
    """Return the sentences of each class; the mean of their embeddings is its prototype.

    A names file gives a class another name for the templates, or a list of sentences to replace them.

    classes: K names, as the source has them. templates: each with {} for the name.

    Raises:
        ValueError: the names file has changed, is malformed, lacks a class or has one too many, or gives two classes
            the same name or sentences.
        FileNotFoundError: the file does not exist.
    """
    called = dict(zip(classes, classes, strict=True)) if names == "source" else read_names(names, classes)
    given = [called[name] for name in classes]
    return [said if isinstance(said, list) else [template.format(said) for template in templates] for said in given]


def read_names(file: CheckedFile, classes: list[str] | None) -> dict[str, str | list[str]]:
    """Read names or sentences by class from YAML; its keys may have underscores for spaces.

    classes: those that the file must have; None if they are not known yet.

    Raises:
        ValueError, FileNotFoundError: as in `sentences`.
    """
    path = located(file.path)
    proved(path, file.sha256)
    read = read_yaml(path, text_alone=True)
    given = dict(zip(shown(read, path), read.values(), strict=True))
    known = given.keys() if classes is None else set(classes)
    for what, odd in (("lacks", known - given.keys()), ("has too much:", given.keys() - known)):
        if odd:
            raise ValueError(
                f"{path}: {what} {', '.join(sorted(odd)[:5])} (classes: {', '.join(sorted(known)[:5])}, …)"
            )
    called = validated(dict[str, Called], given, f"{path}: ")
    _require_distinct(called, path)
    return called


def _require_distinct(called: dict[str, str | list[str]], path: Path) -> None:
    first: dict[str | frozenset[str], str] = {}
    for name, said in called.items():
        read = alike(said) if isinstance(said, str) else frozenset(map(alike, said))
        other = first.setdefault(read, name)
        if other != name:
            both = pair(str(called[other]), str(said))
            raise ValueError(f"{path}: {other} and {name} are called the same, {both}; call one of them otherwise")
