"""DASO (Oh et al., CVPR 2022, arXiv 2106.05682; ytaek-oh/daso, lib/models/daso_model.py): blended pseudo-labels.

q is the softmax of cosines to class prototypes over a temperature; prototypes are means of the last labeled features of
each class. The pseudo-label is (1 - v_k) p + v_k q for k the class that p predicts, with v = m^(1/T) / max m^(1/T) and
m the share of each class among pseudo-labels (equations 3 and 4). Alignment: q of the strong view against q of the weak
one (equation 5).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ulfine.methods.fixmatch import PseudoLabels, pseudo_labels
from ulfine.methods.heads import between
from ulfine.methods.losses import Step
from ulfine.methods.rivals.base import Beginning, Rival, Weak
from ulfine.params.rival import DASO as Options  # noqa: N811


class DASO(Rival):
    """A queue of labeled features, and the shares of pseudo-labels."""

    needs_all = True
    costs_as_fixmatch = False
    training_only = ("queue",)

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.options, self.begin = options, round(options.begin * beginning.train.steps)
        *_, classes, width = beginning.linear.weight.shape
        self.register_buffer("queue", torch.zeros(classes, options.queue, width))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.long))  # labeled features so far
        self.register_buffer("share", torch.full(beginning.shape, 1 / classes))
        self.register_buffer("done", torch.zeros((), dtype=torch.long))
        self.similarity: Tensor | None = None  # (..., U, K) q of the batch at work

    def prototypes(self) -> Tensor:
        """(K, D) mean features; zero for a class without any."""
        return self.queue.sum(1) / self.seen.clamp(1, self.options.queue).unsqueeze(-1)

    def similarities(self, features: Tensor) -> Tensor:
        """(..., U, K) cosines over the temperature, -1 for a class not seen yet. features: (..., U, D)."""
        cosines = F.normalize(features, dim=-1) @ F.normalize(self.prototypes(), dim=-1).T
        return cosines.masked_fill(self.seen == 0, -1) / self.options.prototype_temperature

    def final(self, weak: Weak) -> Tensor:
        """Blended, once enough steps are done."""
        return self._blended(weak, self.similarities(weak.features).softmax(-1))

    def _blended(self, weak: Weak, similarity: Tensor) -> Tensor:
        linear = pseudo_labels(weak.logits, 0)
        powered = self.share ** (1 / self.options.temperature)
        blend = (powered / powered.amax(-1, keepdim=True)).gather(-1, linear.labels) * (self.done >= self.begin)
        return torch.lerp(linear.probabilities, similarity.expand_as(linear.probabilities), blend.unsqueeze(-1)).log()

    def targets(self, weak: Weak) -> PseudoLabels:
        """Blended; their shares are counted."""
        self.similarity = self.similarities(weak.features).softmax(-1)
        found = pseudo_labels(self._blended(weak, self.similarity), self.train_options.threshold)
        counted = F.one_hot(found.labels, self.share.shape[-1]).to(found.probabilities.dtype)
        self.share = between(counted.mean(-2), self.share, self.options.decay, 1)
        return found

    def losses(self, step: Step) -> dict[str, Tensor]:
        """Semantic alignment; it trains the features alone."""
        if not step.of_strong.requires_grad:
            return {}
        strong = self.similarities(step.of_strong).log_softmax(-1)
        loss = -(self.similarity * strong).sum(-1).mean(-1) * (self.done >= self.begin)
        return {"alignment": self.options.alignment * loss}

    def adapt(self, number: int, step: Step) -> None:  # noqa: ARG002
        """Put the labeled features of the batch into the queue, in the place of the oldest."""
        labels, features = step.labels.flatten(), step.features.flatten(0, -2)
        before = torch.tril(labels.unsqueeze(1) == labels, -1).sum(1)  # of the same class, earlier in the batch
        self.queue[labels, (self.seen[labels] + before) % self.options.queue] = features
        self.seen += F.one_hot(labels, len(self.seen)).sum(0)
        self.done += 1
