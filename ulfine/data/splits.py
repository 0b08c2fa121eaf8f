"""Long-tailed splits: how many pictures of each class go into each set, and which ones."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ulfine.data.store import Counts, counted
from ulfine.files import digest
from ulfine.params.dataset import ExponentialSplit, NaturalSplit, NaturalUnknownSplit, Split, UnknownSplit
from ulfine.rng import PICTURES, RANKS, generator


class ClassError(ValueError):
    """Too few pictures of one class; `{}` stands for the class in the message."""

    def __init__(self, message: str, label: int) -> None:
        super().__init__(message.format(f"class {label}"))
        self.message, self.label = message, label


@contextmanager
def naming_classes(classes: list[str] | None, skipped: Mapping[str, int] | None = None) -> Iterator[None]:
    """Let errors about a class say its name, where names are known, in the place of its number.

    skipped: by class, the number of pictures that could not be read.
    """
    try:
        yield
    except ClassError as error:
        if classes is None:
            raise
        name = classes[error.label]
        lost = (skipped or {}).get(name, 0)
        more = f"; {lost} more of its pictures cannot be read, and broken: skip left them out" if lost else ""
        raise ValueError(error.message.format(f"class {name!r}") + more) from None


# set -> K numbers of pictures by class; None if the classes of its pictures are unknown
Wanted = dict[str, list[int] | None]


def decaying_counts(largest: int, gamma: float, classes: int) -> list[int]:
    """Return pictures per class, head first, decaying exponentially from `largest` to `largest / gamma`.

    The integers are those of ACR, FineSSL and SimPro (`make_imb_data`): truncated, with the last class computed
    separately, because floating point would lose one there (50 / 10 would give 4).

    Raises:
        ValueError: the last class would be empty.
    """
    if largest < gamma:
        raise ValueError(f"{largest} pictures with gamma = {gamma:g} leave the last class empty")
    ratio = gamma ** (-1 / (classes - 1))
    return [int(largest * ratio**rank) for rank in range(classes - 1)] + [int(largest / gamma)]


def unlabeled_counts(split: ExponentialSplit, classes: int) -> list[int]:
    """Return unlabeled pictures per class, by rank of the labeled classes.

    `reversed` reverses the decaying list: the labeled head has the fewest unlabeled pictures (ACR, CCL, SimPro).
    `middle` is its even ranks reversed, then its odd ones; `head-tail` its odd ranks, then its even ones reversed
    (SimPro, `make_imb_data`, flags 3 and 4; CPG's helpers swap the two names).
    """
    counts = decaying_counts(split.m1, split.gamma_unlabeled, classes)
    even, odd = counts[::2], counts[1::2]
    match split.shape:
        case "reversed":
            return counts[::-1]
        case "middle":
            return even[::-1] + odd
        case "head-tail":
            return odd + even[::-1]
        case _:
            return counts


def class_order(split: Split, sizes: list[int], seed: int) -> list[int]:
    """Return the class at each rank, head first: by label or drawn by the seed; natural shapes by size, ties by label.

    sizes: (K,) training pictures of each class.
    """
    if isinstance(split, NaturalSplit | NaturalUnknownSplit):
        return sorted(range(len(sizes)), key=lambda k: (-sizes[k], k))
    if not split.shuffle_ranks:
        return list(range(len(sizes)))
    return generator(seed, RANKS).permutation(len(sizes)).tolist()


def wanted_counts(split: Split, sizes: list[int], seed: int) -> Wanted:
    """Return the pictures per class (by label, not by rank) in the labeled, unlabeled and validation sets.

    sizes: (K,) training pictures of each class.

    Raises:
        ValueError: a class would be left without a labeled or, with shape `natural`, without an unlabeled picture.
    """
    if isinstance(split, NaturalSplit):
        return _natural_counts(split, sizes)
    if isinstance(split, NaturalUnknownSplit):
        return _natural_unknown_counts(split, sizes)
    classes = len(sizes)
    by_rank = {"labeled": decaying_counts(split.n1, split.gamma_labeled, classes)}
    if isinstance(split, ExponentialSplit):
        by_rank["unlabeled"] = unlabeled_counts(split, classes)
    by_rank["validation"] = [split.validation] * classes
    rank = np.argsort(class_order(split, sizes, seed))
    wanted: Wanted = {name: [counts[rank[k]] for k in range(classes)] for name, counts in by_rank.items()}
    return wanted | {"unlabeled": None} if isinstance(split, UnknownSplit) else wanted


def _natural_counts(split: NaturalSplit, sizes: list[int]) -> Wanted:
    wanted: dict[str, list[int]] = {"labeled": [], "unlabeled": [], "validation": []}
    for k, size in enumerate(sizes):
        labeled = max(1, round(split.labeled_share * size))
        held_out = _held_out(split.validation_share, size)
        left = size - labeled - held_out
        if left < 1:
            raise ClassError(
                f"asks for {labeled} labeled + {held_out} validation of the {size} pictures of {{}}, which leaves none "
                "unlabeled; shape natural needs at least 2 pictures of a class, more with large shares",
                k,
            )
        for name, count in (("labeled", labeled), ("unlabeled", left), ("validation", held_out)):
            wanted[name].append(count)
    return dict(wanted)


def _natural_unknown_counts(split: NaturalUnknownSplit, sizes: list[int]) -> Wanted:
    validation = [_held_out(split.validation_share, size) for size in sizes]
    labeled = [size - held_out for size, held_out in zip(sizes, validation, strict=True)]
    for k, left in enumerate(labeled):
        if left < 1:
            raise ClassError(
                f"asks for {validation[k]} validation of the {sizes[k]} pictures of {{}}, which leaves none labeled; "
                "shape natural-unknown needs at least 1 picture of a class, more with a large share",
                k,
            )
    return {"labeled": labeled, "validation": validation, "unlabeled": None}


def _held_out(share: float, size: int) -> int:
    """Return how many of a class's `size` pictures are held out; none of one or two, which the other sets need."""
    return max(1, round(share * size)) if share and size > 2 else 0


def require_enough(wanted: Wanted, available: Counts) -> None:
    """Check that every class has enough training pictures for all sets together.

    Raises:
        ValueError: a class has too few, or the pool would be empty; the message gives the numbers.
    """
    for k, has in enumerate(available.by_class):
        asked = {name: counts[k] for name, counts in wanted.items() if counts is not None}
        if sum(asked.values()) > has:
            parts = " + ".join(f"{count} {name}" for name, count in asked.items())
            raise ClassError(f"asks for {parts} = {sum(asked.values())} pictures of {{}}, which has {has}", k)
    if wanted["unlabeled"] is None and not available.unknown:
        raise ValueError(
            "shapes unknown and natural-unknown need training pictures without a label, and this source has none"
        )


def draw(labels: np.ndarray, wanted: Wanted, seed: int) -> dict[str, np.ndarray]:
    """Draw disjoint sets of indices, class by class without replacement; each set is sorted.

    A set whose counts are None gets every picture of unknown class.

    labels: (N,) class of each training picture, -1 where unknown. wanted: set -> K counts.
    """
    by_class = {name: counts for name, counts in wanted.items() if counts is not None}
    classes = len(by_class["labeled"])
    require_enough(wanted, counted(labels, classes))
    rng = generator(seed, PICTURES)
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in by_class}
    for k in range(classes):
        order = rng.permutation(np.flatnonzero(labels == k))
        ends = np.cumsum([counts[k] for counts in by_class.values()])
        for name, part in zip(by_class, np.split(order, ends)[:-1], strict=True):
            drawn[name].append(part)
    indices = {name: np.sort(np.concatenate(parts)) for name, parts in drawn.items()}
    return indices | {name: np.flatnonzero(labels < 0) for name, counts in wanted.items() if counts is None}


def draw_split(split: Split, labels: np.ndarray, classes: int, seed: int) -> dict[str, Any]:
    """Draw a split as its stage writes it: class order, counts by label, sorted indices, the seed, and a hash of them.

    The split's own `split_seed`, if it has one, takes the place of `seed`.

    Counts are those of the disjoint sets, and None for a pool of unknown classes. `include_labeled_in_unlabeled` only
    adds the labeled indices to the unlabeled ones.
    """
    seed = seed if split.split_seed is None else split.split_seed
    sizes = counted(labels, classes).by_class
    wanted = wanted_counts(split, sizes, seed)
    indices = draw(labels, wanted, seed)
    if split.include_labeled_in_unlabeled:
        indices["unlabeled"] = np.union1d(indices["unlabeled"], indices["labeled"])
    content = {
        "class_order": class_order(split, sizes, seed),
        "counts": wanted,
        "indices": {name: part.tolist() for name, part in indices.items()},
        "seed": seed,
    }
    return content | {"sha256": digest(content)}


def summary(drawn: dict[str, Any], pictures: int) -> str:
    """Say how many pictures each set of a drawn split has, and how many of the training `pictures` are in none."""
    sets = {name: set(indices) for name, indices in drawn["indices"].items()}
    copies = sets["unlabeled"] & sets["labeled"]
    counts = {name: len(sets[name]) for name in ("labeled", "unlabeled", "validation")}
    counts["unlabeled"] -= len(copies)
    found = ", ".join(f"{count:,} {name}" for name, count in counts.items()) + " pictures"
    rest = pictures - sum(counts.values())
    pool = "; the pool holds the labeled ones too" if copies else ""
    return f"{found}{pool}" + (f"; {rest:,} training pictures are in none of them" if rest else "")
