"""ImageNet-1k with its classes grouped, from folders of synsets or from the archives of downsampled ImageNet."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ulfine.files import read_csv, sha256
from ulfine.params.dataset import CheckedFile

COLUMNS = ("synset", "downsampled_label", "group", "name")
SYNSET = re.compile(r"n\d{8}")


class Groups(NamedTuple):
    """The K groups of the classes of ImageNet."""

    names: list[str]  # by group, in the order of the synsets that stand for the groups
    by_synset: dict[str, int]
    by_label: dict[int, int]  # labels of downsampled ImageNet start at 1


def read_groups(file: CheckedFile) -> Groups:
    """The groups in a CSV file like `assets/imagenet127.csv`.

    Raises:
        ValueError: the file has changed, or a row of it is not what it should be.
        FileNotFoundError: it is not there.
    """
    path = Path(file.path)
    found = sha256(path)
    if found != file.sha256:
        raise ValueError(f"{path}: sha256 is {found}, params.yaml expects {file.sha256}")
    names: dict[str, str] = {}
    of_synset: dict[str, str] = {}
    of_label: dict[int, str] = {}
    for line, row in enumerate(read_csv(path), start=2):
        if tuple(row) != COLUMNS or None in row.values():
            raise ValueError(f"{path}: line {line}: needs the columns {', '.join(COLUMNS)}")
        synset, label, group, name = row.values()
        if not SYNSET.fullmatch(synset) or not label.isdecimal() or not group or not name:
            raise ValueError(f"{path}: line {line}: {','.join(row.values())!r} is not like n01440764,449,group,name")
        if synset in of_synset or int(label) in of_label or names.setdefault(group, name) != name:
            raise ValueError(f"{path}: line {line}: {synset}, {label}, or the group of another name, is there already")
        of_synset[synset] = of_label[int(label)] = group
    if len(set(names.values())) < max(len(names), 2):
        raise ValueError(f"{path}: needs at least two groups, each with a name of its own")
    number = {group: k for k, group in enumerate(sorted(names))}
    return Groups(
        [names[group] for group in number],
        {synset: number[group] for synset, group in of_synset.items()},
        {label: number[group] for label, group in of_label.items()},
    )


def grouped(labels: np.ndarray, groups: Groups) -> np.ndarray:
    """(n,) labels of downsampled ImageNet to (n,) groups.

    Raises:
        ValueError: a label that no class has.
    """
    table = np.full(max(groups.by_label) + 1, -1)
    table[list(groups.by_label)] = list(groups.by_label.values())
    known = np.isin(labels, list(groups.by_label))
    if not known.all():
        raise ValueError(f"label {labels[~known][0]} is none of the {len(groups.by_label)} labels of the groups")
    return table[labels]
