"""Long-tailed splits: how many pictures each class gives, and which ones."""

from typing import Any

import numpy as np

from ulfine.files import digest
from ulfine.params.dataset import Setting


def decaying_counts(largest: int, gamma: float, classes: int) -> list[int]:
    """Pictures per class, head first, decaying exponentially from `largest` to `largest / gamma`.

    Same integers as ACR, FineSSL and SimPro (`make_imb_data`): truncated, the last class set apart, because
    the power loses one there in floating point (50 / 10 would give 4).

    Raises:
        ValueError: the last class would be empty.
    """
    if largest < gamma:
        raise ValueError(f"{largest} pictures with gamma = {gamma:g} leave the last class empty")
    ratio = gamma ** (-1 / (classes - 1))
    return [int(largest * ratio**rank) for rank in range(classes - 1)] + [int(largest / gamma)]


def unlabeled_counts(setting: Setting, classes: int) -> list[int]:
    """Unlabeled pictures of each class, by rank of the labeled classes.

    `reversed` turns the decaying list round: the labeled head has the fewest unlabeled pictures (ACR, CCL, SimPro).
    """
    counts = decaying_counts(setting.m1, setting.gamma_unlabeled, classes)
    return counts[::-1] if setting.shape == "reversed" else counts


def class_order(setting: Setting, classes: int, seed: int) -> list[int]:
    """The class at each rank, head first: label order, or drawn by the seed."""
    if not setting.shuffle_ranks:
        return list(range(classes))
    return np.random.default_rng([seed, 0]).permutation(classes).tolist()


def wanted_counts(setting: Setting, classes: int, seed: int) -> dict[str, list[int]]:
    """Pictures of each class (by label, not by rank) for the labeled, unlabeled and validation sets."""
    by_rank = {
        "labeled": decaying_counts(setting.n1, setting.gamma_labeled, classes),
        "unlabeled": unlabeled_counts(setting, classes),
        "validation": [setting.validation] * classes,
    }
    rank = np.argsort(class_order(setting, classes, seed))
    return {name: [counts[rank[k]] for k in range(classes)] for name, counts in by_rank.items()}


def require_enough(wanted: dict[str, list[int]], available: list[int]) -> None:
    """Check that every class has as many training pictures as the sets ask for together.

    Raises:
        ValueError: one has fewer; the message gives the numbers.
    """
    for k, has in enumerate(available):
        asked = {name: counts[k] for name, counts in wanted.items()}
        if sum(asked.values()) > has:
            parts = " + ".join(f"{count} {name}" for name, count in asked.items())
            raise ValueError(f"asks for {parts} = {sum(asked.values())} pictures of class {k}, which has {has}")


def draw(labels: np.ndarray, wanted: dict[str, list[int]], seed: int) -> dict[str, np.ndarray]:
    """Disjoint sets of indices, drawn class by class without replacement; each set is sorted.

    labels: (N,) class of each training picture, -1 where unknown. wanted: set -> K counts.
    """
    require_enough(wanted, np.bincount(labels[labels >= 0], minlength=len(wanted["labeled"])).tolist())
    rng = np.random.default_rng([seed, 1])
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for k in range(len(wanted["labeled"])):
        order = rng.permutation(np.flatnonzero(labels == k))
        ends = np.cumsum([counts[k] for counts in wanted.values()])
        for name, part in zip(wanted, np.split(order, ends)[:-1], strict=True):
            drawn[name].append(part)
    return {name: np.sort(np.concatenate(parts)) for name, parts in drawn.items()}


def manifest(setting: Setting, labels: np.ndarray, classes: int, seed: int) -> dict[str, Any]:
    """What the split stage writes: class order, counts by label, sorted indices, and a hash over all of it."""
    wanted = wanted_counts(setting, classes, seed)
    content = {
        "class_order": class_order(setting, classes, seed),
        "counts": wanted,
        "indices": {name: indices.tolist() for name, indices in draw(labels, wanted, seed).items()},
        "seed": seed,
    }
    return content | {"sha256": digest(content)}
