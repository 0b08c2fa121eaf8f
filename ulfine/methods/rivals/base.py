"""What a rival may change in the common step; by default, nothing.

The step is FixMatch's (ulfine/training/learner.py). A rival reads pseudo-labels in its own way, keeps a state between
steps in buffers, adds classifiers or losses. Everything works on leading axes of heads (ulfine/methods/heads.py).
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ulfine.methods.fixmatch import PseudoLabels, pseudo_labels
from ulfine.methods.losses import Step
from ulfine.methods.prior import PriorEstimate
from ulfine.params.train import Train


@dataclass(frozen=True)
class Beginning:
    """What a rival starts from."""

    train: Train
    linear: nn.Module  # the classifier before its first step
    text: Tensor | None  # (..., K, D) text prototypes; None from scratch
    log_prior: Tensor  # (K,) of the labeled pictures
    pool: int  # unlabeled pictures

    @property
    def heads(self) -> tuple[int, ...]:
        """The axes of heads."""
        return () if self.text is None else tuple(self.text.shape[:-2])

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., K)."""
        return (*self.heads, len(self.log_prior))


@dataclass(frozen=True)
class Weak:
    """The weak views of a batch, for pseudo-labels; without a gradient."""

    logits: Tensor  # (..., U, K) as `Rival.read` gave them
    raw: Tensor  # (..., U, K) before that
    features: Tensor  # (..., U, D)
    pictures: Tensor | None = None  # (U,) positions in the unlabeled pool
    own: Tensor | None = None  # (U,) bool, false for a labeled picture's copy


class Rival(nn.Module):
    """FixMatch itself, to be changed."""

    decides: ClassVar[str | None] = None  # the classifier of its own whose class is the prediction
    needs_all: ClassVar[bool] = False  # strong views pass whether or not their pseudo-label is kept
    trains_linear: ClassVar[bool] = True
    costs_as_fixmatch: ClassVar[bool] = True  # a step has no other products of matrices
    training_only: ClassVar[tuple[str, ...]] = ()  # buffers that a checkpoint needs and a finished run does not
    together: ClassVar[bool] = True  # many heads train as one

    def __init__(self, beginning: Beginning) -> None:
        super().__init__()
        self.train_options = beginning.train

    def logits(self, features: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """(..., B, K) logits of classifiers of its own. features: (..., B, D)."""
        return {}

    def read(self, logits: Tensor, prior: PriorEstimate) -> Tensor:  # noqa: ARG002
        """(..., U, K) logits that pseudo-labels are read from. prior: P_u."""
        return logits

    def final(self, weak: Weak) -> Tensor:
        """(..., U, K) logits of the pseudo-labels that it would make now; changes nothing."""
        return weak.logits

    def estimate(self) -> Tensor | None:
        """(..., K) its own estimate of the unlabeled pictures' prior; None: P_u."""
        return None

    def targets(self, weak: Weak) -> PseudoLabels:
        """Pseudo-labels; may change its state."""
        return pseudo_labels(weak.logits, self.train_options.threshold)

    def priors(self, labeled: Tensor, unlabeled: Tensor) -> tuple[Tensor, Tensor]:
        """(..., K) log priors that the labeled and the unlabeled loss are adjusted by."""
        return labeled, unlabeled

    def losses(self, step: Step) -> dict[str, Tensor]:  # noqa: ARG002
        """Losses of its own, and those that stand in the place of `train.losses` of the same name."""
        return {}

    def span(self, number: int) -> tuple[int, int]:  # noqa: ARG002
        """Step `number` belongs to a training from this step to before that one; the next one begins anew."""
        return 0, self.train_options.steps

    def renew(self, logits: Tensor, own: Tensor) -> None:
        """Change its state for a new beginning. logits: (N, K) linear ones of the pool. own: (N,) no labeled copy."""

    def adoptions(self) -> Tensor | None:
        """(N,) classes of pool pictures that count as labeled, -1 for the others; None: it never adopts any."""
        return None

    def adapt(self, number: int, step: Step) -> None:
        """Change its state after step `number`, from 0; without a gradient."""
