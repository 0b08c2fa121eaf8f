"""Classifiers that train nothing, by hand."""

import math

import numpy as np
import pytest

from ulfine.data.features import Text
from ulfine.methods.training_free import prior_corrected, tip_adapter
from ulfine.params.rival import PriorCorrected, TipAdapter

TEXT = Text(np.eye(2, dtype=np.float32), np.zeros(2, np.float32), logit_scale=2.0, logit_bias=0.5)


def test_tip_adapter_adds_similar_labeled_pictures():
    options = TipAdapter(kind="tip_adapter", alpha=3, beta=2)
    keys = np.array([[2.0, 0.0], [0.0, 5.0], [3.0, 4.0]], np.float32)  # of classes 0, 1 and 1
    found = tip_adapter(TEXT, options, keys, np.array([0, 1, 1]))(np.array([[6.0, 8.0]], np.float32))
    # cosines 0.6, 0.8 and 1; zero-shot 2 * (0.6, 0.8) + 0.5
    expected = [1.7 + 3 * math.exp(-2 * 0.4), 2.1 + 3 * (math.exp(-2 * 0.2) + 1)]
    assert found.dtype == np.float32 and found[0].tolist() == pytest.approx(expected)


def test_the_mean_prediction_is_taken_off():
    options = PriorCorrected(kind="prior_corrected", tau=0.5)
    pool = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    found = prior_corrected(TEXT, options, pool)(np.array([[0.0, 3.0]], np.float32))
    sure = math.exp(2) / (math.exp(2) + 1)
    mean = [(2 * sure + 1 - sure) / 3, (sure + 2 * (1 - sure)) / 3]
    expected = [0.5 - 0.5 * math.log(mean[0]), 2.5 - 0.5 * math.log(mean[1])]
    assert found[0].tolist() == pytest.approx(expected)
