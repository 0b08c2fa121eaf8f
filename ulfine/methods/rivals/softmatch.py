"""SoftMatch (Chen et al., ICLR 2023, arXiv 2301.10921; USB, semilearn/algorithms/softmatch): a weight for each label.

The weight is exp(-(p - mu)^2 / (2 sigma^2 / n^2)) below mu, and 1 from there on (equation 8 with n = 2 in its code),
where p is the confidence after uniform alignment (equation 12), mu and sigma^2 EMAs of its mean and variance. Labels
are those before alignment.
"""

import torch

from ulfine.methods.fixmatch import PseudoLabels, pseudo_labels
from ulfine.methods.heads import between
from ulfine.methods.prior import PriorEstimate
from ulfine.methods.rivals.base import Beginning, Rival, Weak
from ulfine.params.rival import SoftMatch as Options

TINY = 1e-6


class SoftMatch(Rival):
    """Truncated Gaussian weights, and uniform alignment."""

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.options = options
        uniform = torch.full(beginning.shape, 1 / beginning.shape[-1])
        self.register_buffer("mean", uniform[..., :1].clone())
        self.register_buffer("variance", torch.ones_like(self.mean))
        self.prediction = PriorEstimate(beginning.shape, options.decay)

    def targets(self, weak: Weak) -> PseudoLabels:
        """Every label takes part, by its weight."""
        found, decay = pseudo_labels(weak.logits, 0), self.options.decay
        self.prediction.observe(found.probabilities, weak.own.expand(found.labels.shape))
        aligned = found.probabilities / self.prediction.share().clamp_min(TINY).unsqueeze(-2)
        confidence = (aligned / aligned.sum(-1, keepdim=True)).amax(-1)
        self.mean = between(confidence.mean(-1, keepdim=True), self.mean, decay, 1)
        self.variance = between(confidence.var(-1, keepdim=True), self.variance, decay, 1)
        below = (confidence - self.mean).clamp_max(0)
        weights = (-(below**2) * self.options.width**2 / (2 * self.variance)).exp()
        return found._replace(kept=torch.ones_like(found.kept), weights=weights)
