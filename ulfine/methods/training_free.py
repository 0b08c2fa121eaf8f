"""Classifiers that train nothing: zero-shot, and what stands on it.

Tip-Adapter: Zhang et al., ECCV 2022, arXiv 2111.03930, equations 4 to 6. Zero-shot less its mean prediction: the
correction of logit adjustment (Menon et al., 2021) by a prior that is estimated on unlabeled pictures.
"""

from collections.abc import Callable

import numpy as np

from ulfine.data.features import Text
from ulfine.methods.zero_shot import zero_shot_logits
from ulfine.params.rival import PriorCorrected, TipAdapter

FLOOR = 1e-6  # of a mean prediction
Classify = Callable[[np.ndarray], np.ndarray]  # (N, E) joint features to (N, K) float32 logits


def tip_adapter(text: Text, options: TipAdapter, features: np.ndarray, labels: np.ndarray) -> Classify:
    """Zero-shot logits + alpha exp(-beta (1 - cosines with labeled features)) one-hot labels.

    features: (M, E) joint features of labeled pictures. labels: (M,).
    """
    keys = _unit(features)
    values = np.eye(len(text.prototypes))[labels]

    def classify(images: np.ndarray) -> np.ndarray:
        affinity = np.exp(-options.beta * (1 - _unit(images) @ keys.T))
        return (zero_shot_logits(images, text) + options.alpha * affinity @ values).astype(np.float32)

    return classify


def prior_corrected(text: Text, options: PriorCorrected, features: np.ndarray) -> Classify:
    """Zero-shot logits less tau log of the mean prediction. features: (M, E) joint ones of unlabeled pictures."""
    logits = zero_shot_logits(features, text).astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    mean = (shares / shares.sum(1, keepdims=True)).mean(0)
    offset = options.tau * np.log(mean.clip(FLOOR))
    return lambda images: (zero_shot_logits(images, text) - offset).astype(np.float32)


def _unit(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return features / np.linalg.norm(features, axis=1, keepdims=True)
