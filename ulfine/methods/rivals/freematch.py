"""FreeMatch (Wang et al., ICLR 2023, arXiv 2205.07246; USB, semilearn/algorithms/freematch): thresholds that follow.

The global threshold is an EMA of the mean confidence, times p_k / max p for class k with p an EMA of the mean
prediction (equations 5 to 7). Its loss (10, 11) is sum_k r_k log q_k, with r of p over an EMA of the histogram of
predictions, q the same of strong views in the batch, both normalised.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.methods.fixmatch import PseudoLabels, pseudo_labels
from ulfine.methods.heads import between
from ulfine.methods.losses import Step
from ulfine.methods.rivals.base import Beginning, Rival, Weak
from ulfine.params.rival import FreeMatch as Options

TINY = 1e-12


class FreeMatch(Rival):
    """Self-adaptive thresholds, and fairness."""

    costs_as_fixmatch = False

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.options = options
        uniform = torch.full(beginning.shape, 1 / beginning.shape[-1])
        self.register_buffer("confidence", uniform[..., :1].clone())
        self.register_buffer("mean", uniform.clone())
        self.register_buffer("histogram", uniform.clone())

    def targets(self, weak: Weak) -> PseudoLabels:
        """Kept from confidence * mean / max mean of the class predicted."""
        found = pseudo_labels(weak.logits, 0)
        decay = self.options.decay
        counted = F.one_hot(found.labels, found.probabilities.shape[-1]).float()
        self.confidence = between(found.confidence.mean(-1, keepdim=True), self.confidence, decay, 1)
        self.mean = between(found.probabilities.mean(-2), self.mean, decay, 1)
        self.histogram = between(counted.mean(-2), self.histogram, decay, 1)
        bar = self.confidence * (self.mean / self.mean.amax(-1, keepdim=True)).gather(-1, found.labels)
        return found.keeping(found.confidence >= bar)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Fairness of strong views whose pseudo-label is kept; 0 where none is."""
        members = step.targets.weights.unsqueeze(-2)
        share = members / members.sum(-1, keepdim=True).clamp_min(1)
        probabilities = step.strong.softmax(-1)
        counted = F.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).to(probabilities.dtype)
        mean, histogram = ((share @ values).squeeze(-2) for values in (probabilities, counted))
        seen = _normalised(torch.where(histogram > 0, mean / histogram.clamp_min(TINY), 0))
        wanted = _normalised(self.mean / self.histogram.clamp_min(TINY))
        loss = (wanted * (seen + TINY).log()).sum(-1) * (members.sum((-2, -1)) > 0)
        return {"fairness": self.options.fairness * loss}


def _normalised(values: Tensor) -> Tensor:
    return values / values.sum(-1, keepdim=True).clamp_min(TINY)
