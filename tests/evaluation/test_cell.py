import json

import numpy as np
import pytest

from ulfine.evaluation.cell import metrics, prior_error, validation_curve


def test_the_validation_curve_is_the_mean_recall_by_step():
    rows = [
        {"step": str(step), "class": str(k), "pictures": str(pictures), "right": str(right)}
        for step, of_step in ((5, [(4, 1), (4, 2), (2, 1)]), (10, [(4, 4), (0, 0), (2, 0)]))
        for k, (pictures, right) in enumerate(of_step)
    ]
    first, second = validation_curve(rows, labeled=[9, 5, 1])
    assert first == {
        "step": 5,
        "accuracy": pytest.approx(1.25 / 3),
        "acc_head": 0.25,
        "acc_medium": 0.5,
        "acc_tail": 0.5,
    }
    assert second == {"step": 10, "accuracy": 0.5, "acc_head": 1.0, "acc_medium": None, "acc_tail": 0.0}


def test_a_run_without_validation_pictures_has_every_other_score():
    logits = {"test.linear": np.eye(2), "test.labels": np.array([0, 1])}
    summary = {"decides": {"test": "linear"}, "threshold": 0.5}
    held_out = logits | {"validation.linear": np.eye(2), "validation.labels": np.array([0, 1])}
    without, with_some = (metrics(found, summary, [2, 1]) for found in (logits, held_out))
    unknown = without.pop("validation")
    assert set(unknown) == set(with_some.pop("validation"))
    assert unknown.pop("recall") == [None, None] and set(unknown.values()) == {None}
    assert without == with_some and without["accuracy"] == 1
    json.dumps(without, allow_nan=False)


def test_the_error_of_the_estimated_prior():
    assert prior_error({"prior": {"estimate": [0.5, 0.3, 0.2], "truth": [0.7, 0.2, 0.1]}}) == pytest.approx(0.2)
    assert prior_error({"prior": {"estimate": [0.5, 0.5], "truth": None}}) is None
    assert prior_error({"prior": {"estimate": None, "truth": [0.5, 0.5]}}) is None
    assert prior_error({}) is None
