"""Intervals of a difference between two methods that were paired by seed: over seeds, and over test pictures."""

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from scipy.stats import t as student

from ulfine.evaluation.metrics import class_groups, right_by_picture
from ulfine.rng import generator

T = TypeVar("T")
Metrics = Mapping[str, Any]  # metrics.json
SEEDS = 3  # fewer decide nothing
MEMBERS: dict[str, Callable[[list[int]], list[int]]] = {  # classes that an accuracy is the mean of
    "accuracy": lambda labeled: list(range(len(labeled))),
    "acc_tail": lambda labeled: class_groups(labeled)["tail"],
}


def paired(first: Mapping[int, T], second: Mapping[int, T]) -> list[tuple[T, T]]:
    """Values of the same seed, in its order. Both: by seed."""
    return [(first[seed], second[seed]) for seed in sorted(first.keys() & second.keys())]


def t_interval(differences: list[float], alpha: float) -> list[float] | None:
    """Student's two-sided interval of the mean at 1 - alpha; None below three differences."""
    if len(differences) < SEEDS:
        return None
    mean, error = np.mean(differences), np.std(differences, ddof=1) / math.sqrt(len(differences))
    half = student.ppf(1 - alpha / 2, len(differences) - 1) * error
    return [float(mean - half), float(mean + half)]


def contributions(pairs: list[tuple[Metrics, Metrics]], quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """(N,) what each test picture adds to a difference of mean class recalls, averaged over seeds; (N,) its label."""
    _, labels = right_by_picture(pairs[0][0])
    counts = np.bincount(labels, minlength=len(pairs[0][0]["labeled"]))
    total = np.zeros(len(labels))
    for first, second in pairs:
        members = [k for k in MEMBERS[quantity](first["labeled"]) if counts[k]]
        weight = np.isin(labels, members) / (len(members) * counts[labels])
        total += weight * (right_by_picture(first)[0].astype(float) - right_by_picture(second)[0])
    return total / len(pairs), labels


def bootstrap_interval(added: np.ndarray, labels: np.ndarray, alpha: float, draws: int, seed: int = 0) -> list[float]:
    """Percentile interval at 1 - alpha of the sum of (N,) `added`, pictures drawn anew within each class."""
    rng = generator(seed)
    sums = np.zeros(draws)
    for k in np.unique(labels):
        of_class = added[labels == k]
        values, counts = np.unique(of_class, return_counts=True)  # few, and pictures of the same value are alike
        times = rng.multinomial(len(of_class), counts / len(of_class), size=draws)
        sums += times @ values
    low, high = np.quantile(sums, [alpha / 2, 1 - alpha / 2])
    return [float(low), float(high)]
