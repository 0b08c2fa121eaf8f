"""Prototype adaptive fitting: text prototypes move towards visual ones, the more the oftener a class is predicted.

Reported for the paper (arXiv 2505.05062): c_k <- (1 - a_k) c_k + a_k v_k with a_k = mu P_k / max P, v an EMA of class
means of labeled features, P the distribution of predictions on unlabeled pictures; prototypes kept orthogonal. All
constants are assumptions (docs/method.md).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ulfine.methods.heads import Constant, between, over, plus, used
from ulfine.methods.rows import lengths, products
from ulfine.params.method import Paf


class PrototypeFitting(nn.Module):
    """The state of PAF between steps, in buffers, so that a checkpoint holds it.

    Args:
        text: (..., K, D) unit text prototypes, kept as the anchor.
        options: the constants.
    """

    def __init__(self, text: Tensor, options: Paf) -> None:
        super().__init__()
        if options.orthogonality_by == "projection" and text.shape[-2] > text.shape[-1]:
            classes, dimensions = text.shape[-2:]
            raise ValueError(
                f"paf.orthogonality_by = 'projection': {classes} classes in {dimensions} dimensions cannot be "
                "orthogonal (allowed: loss)"
            )
        self.options, self.spreads = options, used(options.orthogonality)
        self.register_buffer("text", text.clone())
        # visual prototypes are the same for all heads, unless their decay is not
        same = text.ndim > 2 and not isinstance(options.visual_decay, Tensor)
        self.register_buffer("visual", torch.zeros_like(text[..., :1, :, :] if same else text))
        self.register_buffer("seen", torch.zeros(self.visual.shape[:-1], dtype=torch.bool))
        self.register_buffer("text_share", torch.ones(text.shape[:-1]))

    @torch.no_grad()
    def observe(self, features: Tensor, labels: Tensor) -> None:
        """Take in one step: (..., B, D) unit labeled features, (..., B) labels."""
        self.visual, self.seen = updated_visual(
            self.visual, self.seen, features, labels, decay=self.options.visual_decay
        )

    @torch.no_grad()
    def fit(self, prototypes: Tensor, prior: Tensor) -> Tensor:
        """The (..., K, D) prototypes after one update; the mixing skips classes without a labeled picture so far.

        prior: (..., K) P_u.

        `text_share` then holds how much of the text PAF has left in each: the product of (1 - a) since the start, or
        the last (1 - a) where the anchor is the frozen text. What a loss of their own does to prototypes comes on top.
        """
        step = mixing_weights(prior, self.options.mu) * self.seen
        running = self.options.anchor == "running"
        self.text_share = self.text_share * (1 - step) if running else 1 - step
        fitted = mixed(prototypes if running else self.text, self.visual, step)
        return self._spread(torch.where(self.seen[..., None], fitted, prototypes))

    def _spread(self, prototypes: Tensor) -> Tensor:
        size = self.options.orthogonality
        if self.spreads and self.options.orthogonality_by == "projection":
            return projected(prototypes, size)
        if self.spreads and self.options.prototypes == "buffer":
            return spread(prototypes, size)
        return prototypes


def ema(old: Tensor, new: Tensor, decay: Constant) -> Tensor:
    """decay * old + (1 - decay) * new. Both: (..., K, D)."""
    return between(new, old, decay, 2)


def updated_visual(
    visual: Tensor, seen: Tensor, features: Tensor, labels: Tensor, decay: Constant
) -> tuple[Tensor, Tensor]:
    """EMA of the normalised mean feature of each class in a batch; a class starts at its first mean.

    visual: (..., K, D). seen: (..., K) bool. features: (..., B, D). labels: (..., B). Returns the new visual and seen.
    """
    members = F.one_hot(labels, visual.shape[-2]).to(features.dtype).mT
    present = members.any(dim=-1)
    means = F.normalize(members @ features, dim=-1)
    started = torch.where(seen[..., None], ema(visual, means, decay), means)
    return torch.where(present[..., None], started, visual), seen | present


def mixing_weights(prior: Tensor, mu: Constant) -> Tensor:
    """a_k = mu * P_k / max P. prior: (..., K) mean prediction."""
    return over(mu, 1) * prior / prior.amax(-1, keepdim=True)


def mixed(base: Tensor, visual: Tensor, step: Tensor) -> Tensor:
    """normalise((1 - a) * base + a * visual), all of unit length. base, visual: (..., K, D). step: (..., K).

    A learned prototype grows between updates, since the gradient of a cosine is orthogonal to it: unless it is
    normalised, the step would shrink.
    """
    return F.normalize(torch.lerp(F.normalize(base, dim=-1), F.normalize(visual, dim=-1), step[..., None]), dim=-1)


def orthogonality(prototypes: Tensor) -> Tensor:
    """Mean squared cosine between different prototypes. prototypes: (..., K, D)."""
    length = lengths(prototypes).unsqueeze(-1)
    classes = prototypes.shape[-2]
    other = 1 - torch.eye(classes, dtype=prototypes.dtype, device=prototypes.device)
    off_diagonal = products(prototypes) / (length @ length.mT) * other
    return off_diagonal.square().sum((-2, -1)) / (classes * (classes - 1))


@torch.enable_grad()
def spread(prototypes: Tensor, size: Constant) -> Tensor:
    """One gradient step of `size` on the orthogonality term, back to unit rows; for prototypes that are not learned."""
    free = prototypes.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(orthogonality(free).sum(), free)
    return F.normalize(plus(prototypes, -size, gradient, 2), dim=-1)


def projected(prototypes: Tensor, share: Constant) -> Tensor:
    """Part of the way to the nearest orthonormal rows, the polar factor (C C^T)^(-1/2) C, back to unit rows.

    prototypes: (..., K, D), K <= D. share: 0 leaves them, 1 makes them orthonormal.
    """
    unit = F.normalize(prototypes, dim=-1)
    rows = unit.double()
    values, vectors = torch.linalg.eigh(rows @ rows.mT)  # K x K: a GPU is waited for, but less than for C's own
    least = torch.finfo(values.dtype).eps * values.shape[-1]  # rows that depend on each other have eigenvalues of 0
    inverse = vectors / values.clamp_min(least).sqrt().unsqueeze(-2) @ vectors.mT
    return F.normalize(between(unit, (inverse @ rows).to(unit.dtype), share, 2), dim=-1)
