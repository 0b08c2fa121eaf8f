"""The prior of the unlabeled pictures, estimated from predictions on them."""

import torch
from torch import Tensor, nn

from ulfine.methods.heads import Constant, between

FLOOR = 1e-6  # of an estimated share, whose logarithm is taken


def exchanged(prior: Tensor) -> Tensor:
    """(K,) the prior with head and tail exchanged: the class of rank l has the share of rank K + 1 - l."""
    order = prior.argsort(descending=True, stable=True)
    return torch.empty_like(prior).index_copy(0, order, prior[order.flip(0)])


def divergences(prior: Tensor, anchors: Tensor) -> Tensor:
    """(..., A) symmetric KL divergences, halved, of (..., K) from each of (A, K)."""
    prior = prior.clamp_min(FLOOR).unsqueeze(-2)
    return 0.5 * ((prior - anchors) * (prior.log() - anchors.log())).sum(-1)


class PriorEstimate(nn.Module):
    """P_u: an EMA of the mean prediction on weak views (ReMixMatch, CReST, ACR, SimPro, and the P_u of PAF).

    It starts at zero, not at a guess: the share that an EMA from zero lacks is the same for all classes and goes when
    the estimate is normalised.

    Args:
        shape: (K,), or with heads (..., K).
        decay: of the EMA, per step.
    """

    def __init__(self, shape: tuple[int, ...], decay: Constant) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(shape))

    @torch.no_grad()
    def observe(self, probabilities: Tensor, own: Tensor) -> None:
        """Take in one step. probabilities: (..., U, K). own: (..., U) bool, false for labeled copies (ACR)."""
        members = own.to(probabilities.dtype)
        mean = (members.unsqueeze(-2) @ probabilities).squeeze(-2) / members.sum(-1, keepdim=True).clamp_min(1)
        # by `where` and not by `if`, which would wait for the device
        self.mean = torch.where(own.any(-1, keepdim=True), between(mean, self.mean, self.decay, 1), self.mean)

    def share(self) -> Tensor:
        """(..., K) the estimate, normalised; uniform before the first picture."""
        total = self.mean.sum(-1, keepdim=True)
        return torch.where(total > 0, self.mean / total.clamp_min(1e-12), 1 / self.mean.shape[-1])

    def log(self) -> Tensor:
        """(..., K) the logarithm of the estimate."""
        return self.share().clamp_min(FLOOR).log()
