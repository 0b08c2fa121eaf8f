"""CReST+ (Wei et al., CVPR 2021, arXiv 2102.09559; google-research/crest): generations, and rare classes adopted first.

After each generation the pool is labeled by the model. Of the pictures predicted as the class of rank l the most
confident share (N_(L+1-l) / N_1)^alpha joins the labeled ones (equation 3), and training begins anew. Pseudo-labels
within a generation are aligned to prior^t, with t from 1 in the first to t_min in the last one (equation 4).
"""

from bisect import bisect_right

import torch
from torch import Tensor

from ulfine.methods.fixmatch import distribution_aligned, powered
from ulfine.methods.prior import PriorEstimate, exchanged
from ulfine.methods.rivals.base import Beginning, Rival
from ulfine.params.rival import CReST as Options


class CReST(Rival):
    """The pictures that are labeled ones from now on."""

    together = False

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.options = options
        steps, number = beginning.train.steps, options.generations
        self.bounds = [round(g * steps / number) for g in range(number + 1)]
        self.register_buffer("log_prior", beginning.log_prior, persistent=False)
        self.register_buffer("rates", adoption_rates(beginning.log_prior.exp(), options.alpha), persistent=False)
        self.register_buffer("adopted", torch.full((beginning.pool,), -1))
        self.register_buffer("generation", torch.zeros((), dtype=torch.long))

    def read(self, logits: Tensor, prior: PriorEstimate) -> Tensor:
        """Aligned to prior^t."""
        power = 1 - (1 - self.options.least_power) * self.generation / (self.options.generations - 1)
        return distribution_aligned(logits, prior.log(), powered(self.log_prior, power))

    def adoptions(self) -> Tensor:
        """Those of the present generation."""
        return self.adopted

    def span(self, number: int) -> tuple[int, int]:
        """The generation of a step."""
        generation = bisect_right(self.bounds, number)
        return self.bounds[generation - 1], self.bounds[generation]

    def renew(self, logits: Tensor, own: Tensor) -> None:
        """Adopt anew."""
        confidence, labels = logits.softmax(-1).max(-1)
        labels = torch.where(own, labels, -1)
        self.adopted.fill_(-1)
        for k, rate in enumerate(self.rates.tolist()):
            members = (labels == k).nonzero().squeeze(1)
            best = confidence[members].argsort(descending=True, stable=True)[: int(rate * len(members))]
            self.adopted[members[best]] = k
        self.generation += 1


def adoption_rates(prior: Tensor, alpha: float) -> Tensor:
    """(K,) share of the pictures predicted as each class that is adopted: 1 for the rarest, the least for the first."""
    return (exchanged(prior) / prior.max()) ** alpha
