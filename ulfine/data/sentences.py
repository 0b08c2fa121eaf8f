"""What the text tower reads for each class: its name in every template, or sentences of its own."""

from typing import Annotated

from pydantic import Field, StrictStr

from ulfine.data.classes import shown
from ulfine.files import located, proved
from ulfine.params.base import read_yaml, validated
from ulfine.params.dataset import CheckedFile, ClassNames

Said = Annotated[StrictStr, Field(min_length=1)]


def sentences(classes: list[str], templates: list[str], names: ClassNames) -> list[list[str]]:
    """The sentences of each class; the mean of their embeddings is its prototype.

    A names file gives a class another name, for the templates, or a list of sentences that stand in their place.

    classes: K names, as the source has them. templates: each with {} for the name.

    Raises:
        ValueError: the file of names has changed, is no such file, lacks a class or has one too many, or calls two
            classes the same.
        FileNotFoundError: it is not there.
    """
    called = dict(zip(classes, classes, strict=True)) if names == "source" else read_names(names, classes)
    given = [called[name] for name in classes]
    return [said if isinstance(said, list) else [template.format(said) for template in templates] for said in given]


def read_names(file: CheckedFile, classes: list[str] | None) -> dict[str, str | list[str]]:
    """Names or sentences by class, from YAML whose keys may have underscores for spaces.

    classes: those that the file must have; None where they are not known yet.

    Raises:
        ValueError, FileNotFoundError: as `sentences` says.
    """
    path = located(file.path)
    proved(path, file.sha256)
    read = read_yaml(path)
    given = dict(zip(shown(map(str, read), path), read.values(), strict=True))
    known = given.keys() if classes is None else set(classes)
    for what, odd in (("lacks", known - given.keys()), ("has too much:", given.keys() - known)):
        if odd:
            raise ValueError(
                f"{path}: {what} {', '.join(sorted(odd)[:5])} (classes: {', '.join(sorted(known)[:5])}, …)"
            )
    called = validated(dict[str, Said | Annotated[list[Said], Field(min_length=1)]], given, f"{path}: ")
    for said in called.values():
        same = [other for other in called if called[other] == said]
        if len(same) > 1:
            raise ValueError(f"{path}: {' and '.join(same)} are called the same, {said!r}")
    return called
