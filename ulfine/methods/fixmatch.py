"""Pseudo-labels: from logits on weak views to targets for strong ones.

Sources: FixMatch (Sohn et al., 2020); adjusted predictions as in ACR (Wei and Gan, 2023); distribution alignment as in
ReMixMatch (Berthelot et al., 2020), with CReST's power (Wei et al., 2021). The paper (arXiv 2505.05062) states none of
its constants.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class PseudoLabels(NamedTuple):
    """Targets for unlabeled pictures."""

    labels: Tensor  # (U,) int64, the class predicted
    confidence: Tensor  # (U,) in [0, 1]
    kept: Tensor  # (U,) bool
    probabilities: Tensor  # (U, K)


def log_prior(counts: Tensor) -> Tensor:
    """(K,) pictures per class, all positive, to the log of each class's share."""
    return torch.log(counts / counts.sum())


def adjusted(logits: Tensor, prior: Tensor, tau: float) -> Tensor:
    """z - tau log prior: (U, K) logits of a classifier that has learned its prior, as if it had not.

    logits: (U, K). prior: (K,) log prior.
    """
    return logits - tau * prior


def distribution_aligned(logits: Tensor, estimate: Tensor, target: Tensor) -> Tensor:
    """(U, K) logits whose softmax is p * target / estimate, normalised. estimate, target: (K,) log shares."""
    return logits + target - estimate


def powered(prior: Tensor, power: float) -> Tensor:
    """(K,) log prior to the log of prior^power, normalised: the prior itself at 1, uniform at 0."""
    return (power * prior).log_softmax(dim=-1)


@torch.no_grad()
def pseudo_labels(logits: Tensor, threshold: float) -> PseudoLabels:
    """The classes predicted, and which predictions are confident enough. logits: (U, K)."""
    probabilities = logits.softmax(dim=-1)
    confidence, labels = probabilities.max(dim=-1)
    return PseudoLabels(labels, confidence, confidence >= threshold, probabilities)
