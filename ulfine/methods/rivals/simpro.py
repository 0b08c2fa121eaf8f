"""SimPro (Du et al., ICML 2024, arXiv 2402.13505; LeapLabTHU/SimPro, SimPro/train.py): EM of the unlabeled prior.

E step: pseudo-labels are softmax(z + tau log pi), with pi the prior of the unlabeled pictures (equation 8). M step: pi
follows the mean pseudo-label that is kept (equation 11). Both losses see z + tau log of the prior of all that they
learn from, labeled pictures and kept pseudo-labels together, so that z itself is free of a prior (equation 10).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.methods.fixmatch import adjusted
from ulfine.methods.heads import between
from ulfine.methods.losses import Step
from ulfine.methods.prior import FLOOR, PriorEstimate
from ulfine.methods.rivals.base import Beginning, Rival
from ulfine.params.rival import SimPro as Options


class SimPro(Rival):
    """Two priors that follow the pseudo-labels."""

    costs_as_fixmatch = False

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.options = options
        self.register_buffer("unlabeled", torch.full(beginning.shape, 1 / beginning.shape[-1]))
        self.register_buffer("learned", beginning.log_prior.exp().expand(beginning.shape).clone())

    def read(self, logits: Tensor, prior: PriorEstimate) -> Tensor:  # noqa: ARG002 (it has its own)
        """z + tau log pi."""
        return adjusted(logits, self.unlabeled.clamp_min(FLOOR).log(), -self.options.tau)

    def priors(self, labeled: Tensor, unlabeled: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """The prior of all that is learned from, twice."""
        log = self.learned.clamp_min(FLOOR).log()
        return log, log

    def estimate(self) -> Tensor:
        """pi."""
        return self.unlabeled

    def adapt(self, number: int, step: Step) -> None:  # noqa: ARG002
        """Move both priors by one batch."""
        mass = (step.targets.weights.unsqueeze(-2) @ step.targets.probabilities).squeeze(-2)
        counts = F.one_hot(step.labels, mass.shape[-1]).to(mass.dtype).sum(-2) + mass
        total = mass.sum(-1, keepdim=True)
        moved = between(mass / total.clamp_min(FLOOR), self.unlabeled, self.options.decay, 1)
        self.unlabeled = torch.where(total > 0, moved, self.unlabeled)
        self.learned = between(counts / counts.sum(-1, keepdim=True), self.learned, self.options.decay, 1)
