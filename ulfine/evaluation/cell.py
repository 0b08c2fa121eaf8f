"""The metrics of one run, under the names that runs.csv gives them."""

from typing import Any

import numpy as np

from ulfine.evaluation.metrics import class_groups, pseudo_label_scores, scores

CLASSIFIERS = ("linear", "text", "fused")
PSEUDO_LABELS = ("pl_accuracy", "pl_coverage", "pl_tail_recall", "pl_wrong_confidence")


def metrics(logits: dict[str, np.ndarray], summary: dict[str, Any], labeled: list[int]) -> dict[str, Any]:
    """Metrics of one run.

    Args:
        logits: "{set}.{classifier}" and "{set}.labels", as the train stage writes them.
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
    found |= dict.fromkeys(PSEUDO_LABELS)
    if "unlabeled.pseudo" in logits:
        found |= pseudo_label_scores(
            logits["unlabeled.pseudo"], logits["unlabeled.labels"], summary["threshold"], groups["tail"]
        )
    held_out = scores(logits[f"validation.{decides}"], logits["validation.labels"], groups)
    kept = ("trainable_params", "params_digest", "stand_in", "scale", "threshold", "text_share", "text_cosine")
    return found | {"validation": held_out, "labeled": labeled} | {k: summary[k] for k in kept if k in summary}
