"""Make `imagenet127.csv`: the 1000 classes of ImageNet, and which of 127 groups each belongs to.

    apt-get install wordnet-base
    pip download --no-deps tensorflow-datasets && unzip tensorflow_datasets-*.whl
    python assets/make_imagenet127.py /usr/share/wordnet/data.noun \
        tensorflow_datasets/image_classification/imagenet_resized_labels.txt

The groups are those of Huh et al. (What makes ImageNet good for transfer learning?, arXiv 1608.08614): each class
goes to its parent in WordNet 3.0, the first by name where it has several, and a parent below another one joins it. That
gives the 127 of their label set `up_down_127`, which CoSSL, ACR and SimPro use; a group's name is WordNet's first word.
The second file has the classes in the order of downsampled ImageNet, whose labels start at 1.
"""

import argparse
import csv
from pathlib import Path

COLUMNS = ("synset", "downsampled_label", "group", "name")


def read_nouns(path: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """First word and hypernyms of every noun in WordNet's data file, by ImageNet's name for it (n and the offset)."""
    words, parents = {}, {}
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("  "):
            continue  # the licence
        fields = line.split()
        start = 4 + 2 * int(fields[3], 16)
        pointers = [fields[i : i + 4] for i in range(start + 1, start + 1 + 4 * int(fields[start]), 4)]
        words[f"n{fields[0]}"] = fields[4]
        parents[f"n{fields[0]}"] = [f"n{offset}" for symbol, offset, _, _ in pointers if symbol == "@"]
    return words, parents


def groups(synsets: list[str], words: dict[str, str], parents: dict[str, list[str]]) -> dict[str, str]:
    """The group of each synset."""
    parent = {child: min(above, key=lambda s: words[s].lower()) for child, above in parents.items() if above}

    def is_below(synset: str, other: str) -> bool:
        while synset != other and synset in parent:
            synset = parent[synset]
        return synset == other

    found = [parent[synset] for synset in synsets]
    for j in range(len(found)):
        found = [found[j] if is_below(group, found[j]) else group for group in found]
    return dict(zip(synsets, found, strict=True))


def main() -> None:
    """Read the two files named on the command line, write the table beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nouns", type=Path, help="data.noun of WordNet 3.0")
    parser.add_argument("labels", type=Path, help="imagenet_resized_labels.txt of tensorflow_datasets")
    arguments = parser.parse_args()
    order = arguments.labels.read_text(encoding="ascii").split()
    words, parents = read_nouns(arguments.nouns)
    by_synset = groups(sorted(order), words, parents)
    with Path(__file__).with_name("imagenet127.csv").open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for synset, group in by_synset.items():
            writer.writerow((synset, order.index(synset) + 1, group, words[group].replace("_", " ")))


if __name__ == "__main__":
    main()
