"""The losses. Each is a function of one step and gives a scalar, or with many heads one for each.

`train.losses` names those that take part.

To add one: write its function, its line in LOSSES, and its name in `Loss` of ulfine/params/train.py (docs/extend.md).
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from ulfine.methods import paf
from ulfine.methods.fixmatch import PseudoLabels
from ulfine.methods.heads import Constant, plus
from ulfine.params.train import Train


@dataclass(frozen=True)
class Step:
    """One forward pass, for losses, the log and PAF. Logits are by classifier: linear, and maybe text.

    Axes of heads, if any, stand in front; what all heads share has 1 there.
    """

    options: Train
    labels: Tensor  # (B,)
    labeled: dict[str, Tensor]  # (B, K) logits on labeled pictures
    features: Tensor  # (B, D) features of labeled pictures, without a gradient
    of_labeled: Tensor  # the same with one
    prior: Tensor  # (K,) log prior of the labeled pictures
    strong: Tensor | None = None  # (U, K) linear logits on strong views; None without unlabeled pictures
    of_strong: Tensor | None = None  # (U, D) features of strong views; (kept, D) where others were not to pass
    targets: PseudoLabels | None = None  # from weak views, without a gradient
    unlabeled_prior: Tensor | None = None  # (K,) log prior that `unlabeled_prior` chooses
    prototypes: Tensor | None = None  # (K, D) of the text classifier
    passed: int = 0  # views that this pass takes to a gradient, for the count of operations


def logit_adjusted(logits: Tensor, labels: Tensor, prior: Tensor, tau: Constant) -> Tensor:
    """CE(z + tau log prior, y) per picture: balanced softmax at tau = 1 (Ren et al., 2020; Menon et al., 2021).

    logits: (..., B, K). labels: (..., B) classes or (..., B, K) targets. prior: (..., K) log prior. Returns (..., B).
    """
    logits = plus(logits, tau, prior.unsqueeze(-2), 2)
    shape = logits.shape if labels.is_floating_point() else logits.shape[:-1]
    targets = labels.expand(shape).flatten(0, logits.ndim - 2)
    return F.cross_entropy(logits.flatten(0, -2), targets, reduction="none").view(logits.shape[:-1])


def labeled(step: Step) -> Tensor:
    """The linear classifier on labeled pictures (tau = 1: LIFT, LoFT; 2: ACR)."""
    return logit_adjusted(step.labeled["linear"], step.labels, step.prior, step.options.logit_adjustment).mean(-1)


def unlabeled(step: Step) -> Tensor:
    """FixMatch: strong views against the pseudo-labels that are kept, divided by the whole batch (ACR, LoFT, CReST)."""
    hard = step.options.pseudo_labels == "hard"
    return (_against_targets(step, hard=hard) * step.targets.weights).mean(-1)


def soft_rest(step: Step) -> Tensor:
    """Strong views against the whole prediction where it is not kept (the second unlabeled loss of LoFT)."""
    return (_against_targets(step, hard=False) * ~step.targets.kept).mean(-1)


def entropy(step: Step) -> Tensor:
    """Mean entropy of the predictions on strong views (Grandvalet and Bengio, 2004)."""
    log = step.strong.log_softmax(dim=-1)
    return -(log.exp() * log).sum(dim=-1).mean(-1)


def text(step: Step) -> Tensor:
    """The labeled loss of learnable prototypes."""
    return logit_adjusted(step.labeled["text"], step.labels, step.prior, step.options.logit_adjustment).mean(-1)


def orthogonality(step: Step) -> Tensor:
    """Orthogonality of learnable prototypes."""
    return paf.orthogonality(step.prototypes)


def _against_targets(step: Step, *, hard: bool) -> Tensor:
    targets = step.targets.labels if hard else step.targets.probabilities
    return logit_adjusted(step.strong, targets, step.unlabeled_prior, step.options.unlabeled_adjustment)


LOSSES = {
    "labeled": labeled,
    "unlabeled": unlabeled,
    "soft_rest": soft_rest,
    "entropy": entropy,
    "text": text,
    "orthogonality": orthogonality,
}


def weighted(step: Step, weights: dict[str, Constant], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each loss that `weights` names, times its weight, and those of a rival.

    own: losses of a rival; one that `weights` names stands in the place of the common one.
    """
    found = {name: weight * (own[name] if name in own else LOSSES[name](step)) for name, weight in weights.items()}
    return own | found
