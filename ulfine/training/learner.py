"""One learner for every trained method: an encoder, a linear classifier, and ULFine's text classifier if asked for."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ulfine.methods.dlf import fused
from ulfine.methods.fixmatch import PseudoLabels, labeled_loss, pseudo_labels, unlabeled_loss
from ulfine.methods.paf import PrototypeFitting, orthogonality
from ulfine.models.classifiers import CosineClassifier
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training.batches import Batch


@dataclass(frozen=True)
class Start:
    """What a learner starts from, in the feature space of the backbone."""

    image_mean: Tensor  # (D,) over the labeled and unlabeled pictures, frozen tower
    text: Tensor  # (K, D) text prototypes
    text_mean: Tensor  # (D,)
    log_prior: Tensor  # (K,) of the labeled pictures


@dataclass(frozen=True)
class StepResult:
    """What one forward pass leaves for the loop, the log and PAF."""

    losses: dict[str, Tensor]
    targets: PseudoLabels
    features: Tensor  # (B, D) unit features of the labeled pictures


class Learner(nn.Module):
    """Features, logits and losses of one method.

    Args:
        encoder: pictures, or cached features, to (B, D) features.
        start: means, text prototypes and prior.
        method: which parts of ULFine take part.
        train: scale, centring, and the constants of the losses.
    """

    def __init__(self, encoder: nn.Module, start: Start, method: Method, train: Train) -> None:
        super().__init__()
        self.encoder = encoder
        self.method = method
        self.options = train
        self.register_buffer("image_mean", start.image_mean * train.center, persistent=False)
        self.register_buffer("log_prior", start.log_prior, persistent=False)
        text = F.normalize(start.text - start.text_mean * train.center, dim=-1)
        self.linear = CosineClassifier(text, train.scale)
        learnable = method.paf is not None and method.paf.prototypes == "learnable"
        self.text = CosineClassifier(text, train.scale, learnable) if method.dlf else None
        self.fitting = PrototypeFitting(text, method.paf) if method.paf else None

    def embed(self, x: Tensor) -> Tensor:
        """Views to (B, D) centred unit features."""
        return F.normalize(self.encoder(x) - self.image_mean, dim=-1)

    def logits(self, features: Tensor) -> dict[str, Tensor]:
        """(B, K) logits of each classifier: linear, and with DLF text and fused."""
        linear = self.linear(features)
        if self.text is None:
            return {"linear": linear}
        text = self.text(features)
        dlf = self.method.dlf
        return {"linear": linear, "text": text, "fused": fused(text, linear, dlf.eta, dlf.align)}

    def decides(self, where: str) -> str:
        """The classifier whose logits count in `pseudo_labels` or in `test`."""
        return "fused" if self.method.dlf and where in self.method.dlf.use_in else "linear"

    def forward(self, batch: Batch) -> StepResult:
        """The losses of one step, already weighted. Pseudo-labels come from the current weights, without a gradient."""
        options = self.options
        with torch.no_grad():
            weak = self.logits(self.embed(batch.weak))[self.decides("pseudo_labels")]
            targets = pseudo_labels(weak, options.threshold)
        features = self.embed(torch.cat([batch.labeled, batch.strong]))
        labeled, strong = features.split([len(batch.labeled), len(batch.strong)])
        losses = {
            "labeled": self._labeled_loss(self.linear, labeled, batch.labels),
            "unlabeled": options.unlabeled_weight * unlabeled_loss(self.linear(strong), targets),
        }
        if self.fitting and self.method.paf.prototypes == "learnable":
            losses["text"] = self._labeled_loss(self.text, labeled, batch.labels)
            losses["orthogonality"] = self.method.paf.orthogonality * orthogonality(self.text.weight)
        return StepResult(losses, targets, labeled.detach())

    def _labeled_loss(self, classifier: CosineClassifier, features: Tensor, labels: Tensor) -> Tensor:
        return labeled_loss(classifier(features), labels, self.log_prior, self.options.logit_adjustment)

    @torch.no_grad()
    def adapt(self, step: int, batch: Batch, result: StepResult) -> None:
        """PAF, after the optimizer: observe every step, move the prototypes every `update_every` steps."""
        if self.fitting is None:
            return
        self.fitting.observe(result.features, batch.labels, result.targets.probabilities)
        if (step + 1) % self.method.paf.update_every == 0:
            self.text.weight.copy_(self.fitting.fit(self.text.weight))

    def trained(self) -> dict[str, Tensor]:
        """What training changes: every trained weight, and what PAF remembers; not the frozen part of the tower."""
        free = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        return {name: x for name, x in self.state_dict().items() if name in free or not name.startswith("encoder.")}

    def trainable(self) -> int:
        """How many weights the optimizer changes."""
        return sum(parameter.numel() for parameter in self.parameters() if parameter.requires_grad)

    def parameter_groups(self) -> list[dict]:
        """Groups for the optimizer: the tower at its own rate when all of it is tuned, everything else at `lr`."""
        tower = [p for p in self.encoder.parameters() if p.requires_grad and self.method.tune == "all"]
        own = {id(parameter) for parameter in tower}
        rest = [p for p in self.parameters() if p.requires_grad and id(p) not in own]
        groups = [{"params": rest, "lr": self.options.lr}]
        return groups + ([{"params": tower, "lr": self.method.tower_lr}] if tower else [])
