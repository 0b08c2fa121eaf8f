"""CLIP-Adapter (Gao et al., IJCV 2024, arXiv 2110.04544): a residual adapter on features; the text classifies.

f' = r ReLU(ReLU(f W_1) W_2) + (1 - r) f, of unit length, times the text prototypes (equations 3 to 5), here on the
features in which all classifiers work.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ulfine.methods.losses import Step, logit_adjusted
from ulfine.methods.rivals.base import Beginning, Rival, Weak
from ulfine.params.rival import CLIPAdapter as Options


class CLIPAdapter(Rival):
    """Two layers without biases."""

    decides = "adapted"
    needs_all = True
    trains_linear = False
    costs_as_fixmatch = False

    def __init__(self, options: Options, beginning: Beginning) -> None:
        super().__init__(beginning)
        self.ratio, self.scale = options.ratio, beginning.train.scale
        self.register_buffer("text", beginning.text.clone(), persistent=False)
        width = self.text.shape[-1]
        within = max(1, width // options.reduction)
        down, up = (torch.empty(sizes) for sizes in ((width, within), (within, width)))
        for layer in (down, up):  # as nn.Linear starts
            nn.init.uniform_(layer, -1 / math.sqrt(len(layer)), 1 / math.sqrt(len(layer)))
        self.down, self.up = (
            nn.Parameter(layer.expand(*beginning.heads, *layer.shape).clone()) for layer in (down, up)
        )

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """Those of adapted features."""
        features = features if features.ndim >= self.down.ndim else features.expand(*self.down.shape[:-2], -1, -1)
        adapted = ((features @ self.down).relu() @ self.up).relu()
        mixed = F.normalize(torch.lerp(features, adapted, self.ratio), dim=-1)
        scale = self.scale[..., None, None] if isinstance(self.scale, Tensor) else self.scale
        return {"adapted": scale * mixed @ self.text.mT}

    def final(self, weak: Weak) -> Tensor:
        """Those of adapted features."""
        return self.logits(weak.features)["adapted"]

    def losses(self, step: Step) -> dict[str, Tensor]:
        """`labeled`, of adapted features."""
        logits = self.logits(step.of_labeled)["adapted"]
        loss = logit_adjusted(logits, step.labels, step.prior, self.train_options.logit_adjustment)
        return {"labeled": loss.mean(-1)}
