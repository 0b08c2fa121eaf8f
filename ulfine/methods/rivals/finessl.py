"""FineSSL (Gan and Wei, ICML 2024, arXiv 2405.11756; Gank0078/FineSSL, trainer.py): margins, and a second classifier.

beta_k = pictures whose last confident pseudo-label is k, over the largest such number. Every logit but the target's
gets the margin m (max beta - min beta) (1 - beta_k) / (1 + beta_k) of the target's class k, in both losses. A second
classifier on detached features learns from labels, and with smoothed targets from the confident pseudo-labels; its
confidence weighs the unlabeled loss. (Equations 4 to 8; the division by 1 + beta is in its code alone.)
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.methods.fixmatch import PseudoLabels, pseudo_labels
from ulfine.methods.losses import Step, logit_adjusted
from ulfine.methods.rivals.base import Beginning, Weak
from ulfine.methods.rivals.flexmatch import LastLabels
from ulfine.params.rival import FineSSL as Options


class FineSSL(LastLabels):
    """The margins, and the second classifier."""

    needs_all = True
    costs_as_fixmatch = False

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.options = options
        self.second = deepcopy(beginning.linear)
        self.found: PseudoLabels | None = None  # of the batch at work, `kept` where the first is confident

    def margins(self) -> Tensor:
        """(..., K) margin of each class."""
        counts, _ = self.counts()
        learned = counts / counts.amax(-1, keepdim=True).clamp_min(1)
        spread = learned.amax(-1, keepdim=True) - learned.amin(-1, keepdim=True)
        return self.options.margin * spread * (1 - learned) / (1 + learned)

    def targets(self, weak: Weak) -> PseudoLabels:
        """All labels take part, by the second classifier's confidence."""
        self.found = pseudo_labels(weak.logits, self.train_options.threshold)
        self.current = self.margins()
        self.remember(self.found, weak.pictures)
        confidence = self.second(weak.features).softmax(-1).amax(-1)
        return self.found._replace(kept=torch.ones_like(self.found.kept), weights=confidence)

    def losses(self, step: Step) -> dict[str, Tensor]:
        """`labeled` and `unlabeled` with margins; both losses of the second classifier."""
        labels, strong = step.labels, step.targets.labels
        second = logit_adjusted(self.second(step.of_labeled.detach()), labels, step.prior, 0)
        logits, smoothing = self.second(step.of_strong.detach()).log_softmax(-1), self.options.smoothing
        others = (logits.sum(-1) - _of(logits, strong)) / (logits.shape[-1] - 1)
        smoothed = -((1 - smoothing) * _of(logits, strong) + smoothing * others)
        kept = self.found.kept.to(smoothed.dtype)
        return {
            "labeled": self.with_margins(step.labeled["linear"], labels).mean(-1),
            "unlabeled": (self.with_margins(step.strong, strong) * step.targets.weights).mean(-1),
            "second": second.mean(-1),
            "second_unlabeled": (smoothed * kept).sum(-1) / kept.sum(-1).clamp_min(1),
        }

    def with_margins(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(..., B) cross-entropies of (..., B, K) logits."""
        labels = labels.expand(logits.shape[:-1])
        margin = self.current.gather(-1, labels).unsqueeze(-1)
        others = 1 - F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
        return logit_adjusted(logits + margin * others, labels, self.current, 0)


def _of(values: Tensor, labels: Tensor) -> Tensor:
    return values.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
