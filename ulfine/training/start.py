"""The start of a learner: an encoder, classifiers, a prior."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ulfine.methods.heads import Constant
from ulfine.models.classifiers import CosineClassifier, UnitFeatures
from ulfine.params.train import Train
from ulfine.training.inputs import Inputs


@dataclass(frozen=True)
class Start:
    """The parts that a learner is made of."""

    encoder: nn.Module  # views to (B, D) features, of unit length but from scratch
    linear: nn.Module  # features to (B, K) logits
    text: Tensor | None  # (K, D) unit text prototypes; None from scratch
    log_prior: Tensor  # (K,) of the labeled pictures

    def by_head(self, heads: int, scale: Constant) -> "Start":
        """This start for many heads: (H, K, D) rows, each as here."""
        rows = self.linear.weight.detach().expand(heads, -1, -1)
        return Start(self.encoder, CosineClassifier(rows, scale), self.text.expand(heads, -1, -1), self.log_prior)


def start_from_text(inputs: Inputs, train: Train, make_encoder: Callable[[], nn.Module] = nn.Identity) -> Start:
    """Encoder, linear classifier and text prototypes of a run that stands on a tower.

    make_encoder: gives what turns views into features, its new weights from torch's global generator; by default
    nothing at all, for views that are cached features.
    """
    image_mean, text = centred(inputs, train.center)
    encoder = UnitFeatures(make_encoder(), image_mean, train.center_decay)
    return Start(encoder, linear_classifier(inputs, train, text, image_mean), text, inputs.log_prior())


def centred(inputs: Inputs, center: bool | str | float) -> tuple[Tensor, Tensor]:
    """(D,) mean feature of the split's pictures by the frozen tower, and (K, D) unit text prototypes less their mean.

    center: `train.center`; with `labeled` the mean is that of the labeled pictures, with false both means are zero.
    """
    text, used = inputs.features.text(inputs.space), center is not False
    pictures = inputs.indices["labeled"] if center == "labeled" else inputs.pictures
    plain = inputs.features.of("plain", inputs.space, pictures)
    mean = torch.from_numpy(plain.mean(0, dtype=np.float64).astype(np.float32))
    prototypes = torch.from_numpy(text.prototypes) - torch.from_numpy(text.mean) * used
    return mean * used, F.normalize(prototypes, dim=-1)


def linear_classifier(inputs: Inputs, train: Train, text: Tensor, image_mean: Tensor) -> CosineClassifier:
    """The linear classifier on unit features, started as `classifier_init` says (the options of LIFT, and random)."""
    match train.classifier_init:
        case "text":
            rows = text
        case "means":
            labeled = inputs.indices["labeled"]
            plain = torch.from_numpy(inputs.features.of("plain", inputs.space, labeled))
            unit = F.normalize(plain - image_mean, dim=-1)
            members = F.one_hot(torch.from_numpy(inputs.store.labels["train"][labeled]), len(text)).to(unit.dtype)
            rows = F.normalize(members.T @ unit, dim=-1)
        case "random":
            rows = F.normalize(torch.randn_like(text), dim=-1)
    return CosineClassifier(rows, train.scale)
