"""Zero-shot classification as the backbone was made for it."""

import numpy as np

from ulfine.data.features import Text


def zero_shot_logits(features: np.ndarray, text: Text) -> np.ndarray:
    """Cosine in the joint space, uncentred, with the model's own scale and bias (CLIP; SigLIP has a bias).

    features: (N, E) joint image features. Returns (N, K) float32.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    return (text.logit_scale * unit @ text.prototypes.T + text.logit_bias).astype(np.float32)
