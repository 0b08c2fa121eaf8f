"""FixMatch with logit adjustment: losses on labeled and unlabeled pictures.

Sources: FixMatch (Sohn et al., 2020), mean over the whole unlabeled batch as in ACR, LoFT and CReST; logit adjustment
(Menon et al., 2021) with tau = 1 as in LIFT and LoFT. The paper (arXiv 2505.05062) does not state its constants.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class PseudoLabels(NamedTuple):
    """Hard labels for unlabeled pictures."""

    labels: Tensor  # (B,) int64
    confidence: Tensor  # (B,) in [0, 1]
    kept: Tensor  # (B,) bool
    probabilities: Tensor  # (B, K)


def log_prior(counts: Tensor) -> Tensor:
    """(K,) pictures per class, all positive, to the log of each class's share."""
    return torch.log(counts / counts.sum())


def labeled_loss(logits: Tensor, labels: Tensor, prior: Tensor, tau: float) -> Tensor:
    """CE(z + tau * log prior, y), mean over the batch. logits: (B, K). labels: (B,). prior: (K,) log prior."""
    return F.cross_entropy(logits + tau * prior, labels)


@torch.no_grad()
def pseudo_labels(logits: Tensor, threshold: float) -> PseudoLabels:
    """The predictions on weak views, and which are confident enough. logits: (B, K)."""
    probabilities = logits.softmax(dim=-1)
    confidence, labels = probabilities.max(dim=-1)
    return PseudoLabels(labels, confidence, confidence >= threshold, probabilities)


def unlabeled_loss(logits: Tensor, targets: PseudoLabels) -> Tensor:
    """CE of strong views against kept pseudo-labels, divided by the whole batch. logits: (B, K)."""
    return (F.cross_entropy(logits, targets.labels, reduction="none") * targets.kept).mean()
