"""Zero-shot classification as the backbone was made for it."""

import numpy as np

from ulfine.data.features import Text


def zero_shot_logits(features: np.ndarray, text: Text) -> np.ndarray:
    """Cosine in the joint space, uncentred, with the model's own scale and bias (CLIP; SigLIP has a bias).

    In float64: a scale of 100 would bring the rounding of a cosine in float32 to 1e-5.

    features: (N, E) joint image features. Returns (N, K) float32.
    """
    images, prototypes = (rows.astype(np.float64) for rows in (features, text.prototypes))
    images, prototypes = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (images, prototypes))
    return (text.logit_scale * images @ prototypes.T + text.logit_bias).astype(np.float32)
