import numpy as np
import pytest

from ulfine.evaluation.metrics import (
    calibration_error,
    class_groups,
    geometric_mean,
    packed_right,
    pool_scores,
    pseudo_label_scores,
    recalls,
    reliability,
    right_by_picture,
    scores,
    softmax,
)


def logits(*probabilities) -> np.ndarray:
    return np.log(np.array(probabilities, np.float32))


def test_softmax_by_hand():
    assert softmax(np.array([[0.0, np.log(3.0)], [1000.0, 1000.0]])).tolist() == [
        pytest.approx([0.25, 0.75]),
        [0.5, 0.5],
    ]


def test_accuracy_is_the_mean_class_recall():
    # class 0: 3 of 4 right, class 1: 0 of 1, class 2: 1 of 1
    predicted = np.array([0, 0, 0, 1, 2, 2])
    labels = np.array([0, 0, 0, 0, 1, 2])
    found = scores(np.eye(3, dtype=np.float32)[predicted], labels, {"head": [0], "medium": [1], "tail": [2]})
    assert found["recall"] == [0.75, 0.0, 1.0]
    assert found["accuracy"] == pytest.approx(1.75 / 3)
    assert found["micro_accuracy"] == pytest.approx(4 / 6)
    assert (found["acc_head"], found["acc_medium"], found["acc_tail"]) == (0.75, 0.0, 1.0)
    assert found["gmean"] == 0


def test_a_class_without_test_pictures_is_unknown_not_zero():
    assert recalls(np.array([0, 1]), np.array([0, 0]), 3) == [0.5, None, None]
    assert scores(np.eye(2, 3), np.array([0, 0]), {"tail": [2]})["acc_tail"] is None


def test_scores_of_no_picture_are_unknown():
    found = scores(np.empty((0, 2)), np.empty(0, np.int64), {"head": [0], "medium": [], "tail": [1]})
    assert found.pop("recall") == [None, None]
    assert found == dict.fromkeys(("accuracy", "acc_head", "acc_medium", "acc_tail", "micro_accuracy", "gmean", "ece"))


def test_geometric_mean():
    assert geometric_mean([0.5, 0.125, None]) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("classes", "sizes"), [(10, (3, 4, 3)), (100, (33, 34, 33)), (101, (34, 33, 34)), (3, (1, 1, 1))]
)
def test_groups_are_thirds_by_rank(classes, sizes):
    groups = class_groups(list(range(classes, 0, -1)))
    assert tuple(len(groups[name]) for name in ("head", "medium", "tail")) == sizes
    assert groups["head"][0] == 0 and groups["tail"][-1] == classes - 1


def test_groups_go_by_count_and_ties_by_index():
    assert class_groups([5, 50, 5, 7, 7, 50]) == {"head": [1, 5], "medium": [3, 4], "tail": [0, 2]}


def test_calibration_error_by_hand():
    # confidences 0.9 (right), 0.9 (wrong) and 0.6 (right): gaps |1/2 - 0.9| on 2 of 3 and |1 - 0.6| on 1 of 3
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    bins = reliability(probabilities, np.array([0, 1, 1]))
    assert bins == [
        {"bin": 9, "pictures": 1, "confidence": 0.6, "accuracy": 1.0},
        {"bin": 13, "pictures": 2, "confidence": 0.9, "accuracy": 0.5},
    ]
    assert calibration_error(bins) == pytest.approx(0.4 * 2 / 3 + 0.4 / 3)
    assert calibration_error(reliability(np.array([[1.0, 0.0]]), np.array([0]))) == 0
    assert calibration_error([]) is None


def test_calibration_has_15_bins():
    # 0.61 and 0.66 share the bin from 9/15 to 10/15; of 10 or of 20 bins they would not, of 5 so would 0.75
    probabilities = np.array([[0.61, 0.39], [0.66, 0.34], [0.75, 0.25]])
    found = calibration_error(reliability(probabilities, np.array([0, 1, 0])))
    assert found == pytest.approx((abs(1 - 0.61 - 0.66) + 0.25) / 3)


def test_pseudo_labels_by_hand():
    found = pseudo_label_scores(
        logits([0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.1, 0.9]),
        np.array([0, 1, 1, 1, -1]),
        threshold=0.7,
        tail=[1],
    )
    assert found["pl_coverage"] == pytest.approx(4 / 5)  # all but the third
    assert found["pl_accuracy"] == pytest.approx(2 / 3)  # of the kept ones with a known label
    assert found["pl_tail_recall"] == pytest.approx(1 / 3)
    assert found["pl_wrong_confidence"] == pytest.approx((0.8 + 0.6) / 2)
    assert found["pl_right_confidence"] == pytest.approx((0.9 + 0.7) / 2)
    assert found["pl_by_class"] == {"kept": [1, 2], "right": [1, 1], "wrong": [1, 0]}
    assert found["pl_ece"] == pytest.approx((1 - 0.9 + 0.8 + 0.6 + 1 - 0.7) / 4)  # each in a bin of its own


def test_what_cannot_be_known_is_none():
    found = pseudo_label_scores(logits([0.6, 0.4]), np.array([-1]), threshold=0.7, tail=[1])
    assert found.pop("pl_by_class") == {"kept": [0, 0], "right": [0, 0], "wrong": [0, 0]}
    assert found.pop("pl_coverage") == 0.0
    assert set(found) > {"pl_accuracy", "pl_ece"} and set(found.values()) == {None}


def test_what_a_classifier_would_make_of_the_pool_by_hand():
    """Class 2 is the tail. At 0.5 the first four are kept, two as tail (one right); of the tail's two one is kept."""
    label = np.array([0, 2, 2, 1, 2, 0])
    confidence = np.array([0.9, 0.8, 0.6, 0.5, 0.4, 0.3], np.float32)
    labels = np.array([0, 2, 1, -1, 2, 1])
    found = pool_scores(label, confidence, labels, 0.5, [2])
    assert found.pop("reliability")[0] == {"bin": 4, "pictures": 1, "confidence": pytest.approx(0.3), "accuracy": 0.0}
    assert found.pop("ece") == pytest.approx((0.1 + 0.2 + 0.6 + 0.6 + 0.3) / 5)
    assert found == {
        "kept": pytest.approx(4 / 6),
        "right": pytest.approx(2 / 3),
        "tail_precision": 0.5,
        "tail_recall": 0.5,
        "wrong_confidence": pytest.approx((0.6 + 0.3) / 2),
    }


def test_a_pool_of_unknown_classes_tells_only_how_much_is_kept():
    found = pool_scores(np.array([0, 1]), np.array([0.9, 0.2]), np.array([-1, -1]), 0.5, [1])
    assert found.pop("kept") == 0.5 and found.pop("reliability") == []
    assert set(found.values()) == {None}


def test_which_pictures_are_right_is_kept_by_class():
    labels, right = np.array([1, 0, 1, 3, 1]), np.array([True, False, False, True, True])
    packed = packed_right(right, labels, 4)
    assert [each["pictures"] for each in packed] == [1, 3, 0, 1]
    assert packed[1]["bits"] == "a0" and packed[0]["bits"] == "00"  # 101 and five zeros
    back, of = right_by_picture({"right": packed})
    assert back.tolist() == [False, True, False, True, True] and of.tolist() == [0, 1, 1, 1, 3]
