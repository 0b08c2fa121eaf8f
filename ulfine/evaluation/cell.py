"""The metrics of one run, under the names that runs.csv gives them."""

from typing import Any

import numpy as np

from ulfine.evaluation.metrics import (
    class_groups,
    mean_of,
    packed_right,
    pool_scores,
    pseudo_label_scores,
    reliability,
    scores,
    softmax,
)

CLASSIFIERS = ("linear", "text", "fused")
FUSED = ("initial", "text", "linear", "fused")  # the text's own prototypes, fitted by PAF; and their fusion, DLF
PSEUDO_LABELS = (
    "pl_accuracy", "pl_coverage", "pl_tail_recall", "pl_wrong_confidence", "pl_right_confidence", "pl_ece",
)  # fmt: skip
UNKNOWN_COST = dict.fromkeys(("seconds", "images_seen", "flops", "energy_joules", "peak_memory_mb", "device"))
KEPT = ("trainable_params", "params_digest", "stand_in", "scale", "threshold", "prior", "text_share", "text_cosine")


def metrics(logits: dict[str, np.ndarray], summary: dict[str, Any], labeled: list[int]) -> dict[str, Any]:
    """Metrics of one run.

    Args:
        logits: "{set}.{classifier}" and "{set}.labels", as the train stage writes them; validation may be absent.
        summary: run.json.
        labeled: (K,) labeled pictures of each class.
    """
    groups = class_groups(labeled)
    decides = summary["decides"]["test"]
    found = scores(logits[f"test.{decides}"], logits["test.labels"], groups)
    found |= {
        f"acc_{name}": scores(logits[f"test.{name}"], logits["test.labels"], groups)["accuracy"]
        if f"test.{name}" in logits
        else None
        for name in CLASSIFIERS
    }
    bins = {"test": reliability(softmax(logits[f"test.{decides}"]), logits["test.labels"])}
    found |= dict.fromkeys(PSEUDO_LABELS)
    if "unlabeled.pseudo" in logits:
        pseudo, labels = logits["unlabeled.pseudo"], logits["unlabeled.labels"]
        found |= pseudo_label_scores(pseudo, labels, summary["threshold"], groups["tail"])
        bins["unlabeled"] = reliability(softmax(pseudo[labels >= 0]), labels[labels >= 0])
    found["classifiers"] = {
        name: pool_scores(
            logits[f"unlabeled.{name}.label"],
            logits[f"unlabeled.{name}.confidence"],
            logits["unlabeled.labels"],
            summary["threshold"],
            groups["tail"],
        )
        | {"test_accuracy": scores(logits[f"test.{name}"], logits["test.labels"], groups)["accuracy"]}
        for name in FUSED
        if f"unlabeled.{name}.label" in logits
    }
    none = np.empty((0, len(labeled)))  # of a split that holds nothing out
    held_out = scores(logits.get(f"validation.{decides}", none), logits.get("validation.labels", none[:, 0]), groups)
    right = logits[f"test.{decides}"].argmax(1) == logits["test.labels"]
    found |= {"validation": held_out, "labeled": labeled, "reliability": bins}
    found["right"] = packed_right(right, logits["test.labels"], len(labeled))
    return found | {"prior_error": prior_error(summary)} | {key: summary[key] for key in KEPT if key in summary}


def prior_error(summary: dict[str, Any]) -> float | None:
    """Total variation between the estimated prior of the unlabeled pictures and their true one; None if unknown."""
    prior = summary.get("prior", {})
    if not prior.get("estimate") or not prior.get("truth"):
        return None
    return float(0.5 * np.abs(np.subtract(prior["estimate"], prior["truth"])).sum())


def validation_curve(rows: list[dict[str, str]], labeled: list[int]) -> list[dict[str, float | None]]:
    """The rows of validation.csv (by step and class) to a row a step: mean class recall, over all and by group."""
    groups = {"accuracy": list(range(len(labeled)))}
    groups |= {f"acc_{group}": members for group, members in class_groups(labeled).items()}
    recalls: dict[int, list[float | None]] = {}
    for row in rows:
        pictures = int(row["pictures"])
        recalls.setdefault(int(row["step"]), []).append(int(row["right"]) / pictures if pictures else None)
    return [
        {"step": step} | {name: mean_of(found, members) for name, members in groups.items()}
        for step, found in recalls.items()
    ]
