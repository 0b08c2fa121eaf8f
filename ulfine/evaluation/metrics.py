"""Metrics from logits. Rates are fractions in [0, 1]; what cannot be known is None."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ulfine.sums import total

BINS = 15  # equal-width bins of the calibration error, as in FineSSL


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, K) logits to (N, K) probabilities, in double precision."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def recalls(predicted: np.ndarray, labels: np.ndarray, classes: int) -> list[float | None]:
    """Share of each class's pictures that are predicted as it; None for a class without pictures."""
    return [float((predicted[labels == k] == k).mean()) if (labels == k).any() else None for k in range(classes)]


def mean_of(values: list[float | None], members: list[int]) -> float | None:
    """Mean over the members that are known."""
    known = [values[k] for k in members if values[k] is not None]
    return float(np.mean(known)) if known else None


def class_groups(labeled: list[int]) -> dict[str, list[int]]:
    """Classes by rank of the labeled count, ties by index: head and tail hold round(K / 3) each, medium the rest."""
    ranked = sorted(range(len(labeled)), key=lambda k: (-labeled[k], k))
    first = round(len(ranked) / 3)
    last = len(ranked) - first
    return {"head": ranked[:first], "medium": ranked[first:last], "tail": ranked[last:]}


def geometric_mean(values: list[float | None]) -> float | None:
    """Geometric mean of the known class recalls; 0 as soon as one is, None when none is known."""
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return None
    return 0.0 if (known == 0).any() else float(np.exp(np.log(known).mean()))


def packed_right(right: np.ndarray, labels: np.ndarray, classes: int) -> list[dict[str, int | str]]:
    """Which test pictures are right, class by class: `pictures`, and their `bits` in order as hexadecimal digits.

    right: (N,) bool. labels: (N,).
    """
    of_class = [right[labels == k] for k in range(classes)]
    return [{"pictures": len(bits), "bits": np.packbits(bits).tobytes().hex()} for bits in of_class]


def right_by_picture(metrics: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(N,) whether each test picture is right, and (N,) its label; sorted by label, else in the order of the data set.

    metrics: metrics.json.
    """
    counts = [each["pictures"] for each in metrics["right"]]
    parts = [
        np.unpackbits(np.frombuffer(bytes.fromhex(each["bits"]), np.uint8), count=each["pictures"]).astype(bool)
        for each in metrics["right"]
    ]
    return np.concatenate(parts), np.repeat(np.arange(len(counts)), counts)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[dict[str, float]]:
    """The bins of a reliability diagram that hold pictures, of 15 of equal width over [0, 1].

    probabilities: (N, K). labels: (N,). Each bin: `bin` (from 0), `pictures`, mean `confidence`, `accuracy`.
    """
    return binned(probabilities.max(1), probabilities.argmax(1) == labels)


def binned(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """Calibration error from (N,) confidences and (N,) whether each prediction is right."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        {
            "bin": int(b),
            "pictures": int((bins == b).sum()),
            "confidence": float(confidence[bins == b].mean()),
            "accuracy": float(right[bins == b].mean()),
        }
        for b in np.unique(bins)
    ]


def calibration_error(bins: list[dict[str, float]]) -> float | None:
    """ECE: |accuracy - confidence| of the bins of `reliability`, weighted by their pictures; None without pictures."""
    pictures = sum(each["pictures"] for each in bins)
    gaps = [abs(each["accuracy"] - each["confidence"]) * each["pictures"] for each in bins]
    return total(gaps) / pictures if pictures else None


def scores(logits: np.ndarray, labels: np.ndarray, groups: dict[str, list[int]]) -> dict:
    """Scores of one classifier: (N, K) logits against (N,) labels.

    `accuracy` is the mean class recall; `micro_accuracy` the share of pictures that are right.
    """
    predicted = logits.argmax(1)
    by_class = recalls(predicted, labels, logits.shape[1])
    return {
        "accuracy": mean_of(by_class, list(range(len(by_class)))),
        **{f"acc_{group}": mean_of(by_class, members) for group, members in groups.items()},
        "micro_accuracy": _mean(predicted == labels, np.ones(len(labels), bool)),
        "gmean": geometric_mean(by_class),
        "ece": calibration_error(reliability(softmax(logits), labels)),
        "recall": by_class,
    }


def pseudo_label_scores(logits: np.ndarray, labels: np.ndarray, threshold: float, tail: list[int]) -> dict:
    """Score the pseudo-labels of (N, K) logits against (N,) labels of the pool, -1 where unknown.

    pl_coverage: share of pictures at least as confident as the threshold. pl_accuracy: share of these that are right.
    pl_tail_recall: share of the pictures of the tail classes that are both. pl_wrong_confidence: mean confidence of all
    wrong predictions, confident or not (of the kept ones it could not fall below the threshold); pl_right_confidence:
    of all right ones. pl_ece: calibration of all predictions on pictures of known class. pl_by_class: by class, how
    many are `kept` of it, `right` (kept, of it), `wrong` (kept, labeled as it, of another).
    """
    probabilities, classes = softmax(logits), logits.shape[1]
    confidence, predicted = probabilities.max(1), probabilities.argmax(1)
    kept, known = confidence >= threshold, labels >= 0
    right, in_tail = predicted == labels, np.isin(labels, tail)
    return {
        "pl_coverage": _mean(kept, np.ones_like(kept)),
        "pl_accuracy": _mean(right, kept & known),
        "pl_tail_recall": _mean(right & kept, in_tail),
        "pl_wrong_confidence": _mean(confidence, known & ~right),
        "pl_right_confidence": _mean(confidence, right),
        "pl_ece": calibration_error(reliability(probabilities[known], labels[known])),
        "pl_by_class": {
            "kept": np.bincount(labels[kept & known], minlength=classes).tolist(),
            "right": np.bincount(labels[kept & right], minlength=classes).tolist(),
            "wrong": np.bincount(predicted[kept & known & ~right], minlength=classes).tolist(),
        },
    }


def pool_scores(
    label: np.ndarray, confidence: np.ndarray, labels: np.ndarray, threshold: float, tail: list[int]
) -> dict:
    """Score the pseudo-labels of one classifier: (N,) its labels and confidences against (N,) labels, -1 unknown.

    kept: share at least as confident as the threshold. right: share of the kept ones that are. tail_precision: share
    that is right of those kept as a tail class. tail_recall: share of the tail's pictures that is kept and right.
    wrong_confidence: mean confidence of all false predictions. ece and reliability: of all predictions.
    """
    kept, known, right = confidence >= threshold, labels >= 0, label == labels
    as_tail, of_tail = np.isin(label, tail), np.isin(labels, tail)
    bins = binned(confidence[known], right[known])
    return {
        "kept": _mean(kept, np.ones_like(kept)),
        "right": _mean(right, kept & known),
        "tail_precision": _mean(right, kept & known & as_tail),
        "tail_recall": _mean(right & kept, of_tail),
        "wrong_confidence": _mean(confidence, known & ~right),
        "ece": calibration_error(bins),
        "reliability": bins,
    }


def _mean(values: np.ndarray, members: np.ndarray) -> float | None:
    return float(values[members].mean()) if members.any() else None
