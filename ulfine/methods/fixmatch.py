"""Pseudo-labels: from logits on weak views to targets for strong ones.

Sources: FixMatch (Sohn et al., 2020); adjusted predictions as in ACR (Wei and Gan, 2023); distribution alignment as in
ReMixMatch (Berthelot et al., 2020), with CReST's power (Wei et al., 2021). The paper (arXiv 2505.05062) states none of
its constants.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ulfine.methods.heads import Constant, over, plus


class PseudoLabels(NamedTuple):
    """Targets for unlabeled pictures."""

    labels: Tensor  # (..., U) int64, the class predicted
    confidence: Tensor  # (..., U) in [0, 1]
    kept: Tensor  # (..., U) bool, those that take part
    probabilities: Tensor  # (..., U, K)
    weights: Tensor  # (..., U) in the unlabeled loss: 1 where kept, else 0, unless a method weighs them

    def keeping(self, kept: Tensor) -> "PseudoLabels":
        """The same, with others kept."""
        return self._replace(kept=kept, weights=kept.to(self.weights.dtype))


def log_prior(counts: Tensor) -> Tensor:
    """(K,) pictures per class, all positive, to the log of each class's share."""
    return torch.log(counts / counts.sum())


def adjusted(logits: Tensor, prior: Tensor, tau: Constant) -> Tensor:
    """z - tau log prior: (..., U, K) logits of a classifier that has learned its prior, as if it had not.

    logits: (..., U, K). prior: (..., K) log prior.
    """
    return plus(logits, -tau, prior.unsqueeze(-2), 2)


def distribution_aligned(logits: Tensor, estimate: Tensor, target: Tensor) -> Tensor:
    """(..., U, K) logits whose softmax is p * target / estimate, normalised. estimate, target: (..., K) log shares."""
    return logits + (target - estimate).unsqueeze(-2)


def powered(prior: Tensor, power: Constant) -> Tensor:
    """(..., K) log prior to the log of prior^power, normalised: the prior itself at 1, uniform at 0."""
    return (over(power, 1) * prior).log_softmax(dim=-1)


@torch.no_grad()
def pseudo_labels(logits: Tensor, threshold: Constant) -> PseudoLabels:
    """The classes predicted, and which predictions are confident enough. logits: (..., U, K)."""
    probabilities = logits.softmax(dim=-1)
    confidence, labels = probabilities.max(dim=-1)
    kept = confidence >= over(threshold, 1)
    return PseudoLabels(labels, confidence, kept, probabilities, kept.to(probabilities.dtype))
