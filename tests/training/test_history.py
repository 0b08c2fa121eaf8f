import pytest
import torch

from ulfine.methods.fixmatch import PseudoLabels
from ulfine.training.batches import Batch
from ulfine.training.history import History, cosines, geometry

TARGETS = PseudoLabels(
    labels=torch.tensor([0, 1, 1, 2]),
    confidence=torch.tensor([0.9, 0.8, 0.9, 0.1]),
    kept=torch.tensor([True, True, True, False]),
    probabilities=torch.zeros(4, 3),
    weights=torch.tensor([1.0, 1.0, 1.0, 0.0]),
)


@pytest.fixture
def history() -> History:
    """Make a history after two steps, the first with a picture of unknown class."""
    history = History(3, truth=torch.tensor([0.5, 0.25, 0.25]))
    history.add({"labeled": torch.tensor(1.0)}, TARGETS, batch([0, 0, -1, 2]))
    history.add({"labeled": torch.tensor(2.0)}, TARGETS, batch([0, 1, 2, 2]))
    return history


def batch(truth: list[int], own: list[bool] | None = None) -> Batch:
    own = torch.tensor(own or [True] * len(truth))
    return Batch(torch.zeros(1), torch.zeros(1), own=own, truth=torch.tensor(truth))


def closed(history: History) -> dict:
    return history.close_row(2, lr=0.5, prior=torch.tensor([0.25, 0.25, 0.5]), classifiers={"linear": torch.eye(3)})


def test_a_row_by_hand(history):
    row = closed(history)
    assert row["loss"] == row["loss_labeled"] == 1.5
    assert row["pl_coverage"] == pytest.approx(6 / 8)  # for this no class need be known
    assert row["pl_accuracy"] == pytest.approx(3 / 5)
    assert row["confidence_right"] == pytest.approx((0.9 + 0.1 + 0.9 + 0.8 + 0.1) / 5)
    assert row["confidence_wrong"] == pytest.approx((0.8 + 0.9) / 2)
    assert row["prior_error"] == pytest.approx(0.25)


def test_the_classes_by_hand(history):
    closed(history)
    found = [{key: row[key] for key in list(row)[:7]} for row in history.rows.classes]
    assert found == [
        {"step": 2, "class": 0, "seen": 3, "kept": 3, "right": 2, "wrong": 0, "predicted": 2},
        {"step": 2, "class": 1, "seen": 1, "kept": 1, "right": 1, "wrong": 2, "predicted": 4},
        {"step": 2, "class": 2, "seen": 3, "kept": 1, "right": 0, "wrong": 0, "predicted": 0},
    ]
    assert [row["confidence_right"] for row in history.rows.classes] == pytest.approx([0.9, 0.8, 0.1])
    assert [row["confidence_wrong"] for row in history.rows.classes] == [None, pytest.approx(0.85), None]
    assert [row["prior"] for row in history.rows.classes] == [0.25, 0.25, 0.5]


def test_the_next_row_starts_from_nothing(history):
    closed(history)
    history.add({"labeled": torch.tensor(4.0)}, TARGETS, batch([1, 1, 1, 1]))
    assert closed(history)["loss"] == 4
    assert [row["seen"] for row in history.rows.classes[3:]] == [0, 4, 0]


def test_without_unlabeled_pictures_there_is_nothing_to_tell_of_them():
    history = History(3)
    history.add({"labeled": torch.tensor(4.0)}, None, Batch(torch.zeros(1), torch.zeros(1)))
    assert set(closed(history)) == {"step", "lr", "loss", "loss_labeled"}
    assert history.rows.classes == [] and len(history.rows.classifiers) == 3


def test_copies_of_labeled_pictures_do_not_count():
    history = History(3)
    history.add({}, TARGETS, batch([0, -1, 1, 2], own=[True, False, True, True]))
    assert closed(history)["pl_coverage"] == pytest.approx(2 / 3)
    assert [row["predicted"] for row in history.rows.classes] == [1, 1, 0]


def test_geometry_of_a_classifier_by_hand():
    weight = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    torch.testing.assert_close(cosines(weight), torch.tensor([[1, 0, 0.6], [0, 1, 0.8], [0.6, 0.8, 1]]))
    rows = geometry(7, "linear", weight)
    assert [row["norm"] for row in rows] == [2, 1, 5]
    assert [row["mean_cosine"] for row in rows] == pytest.approx([0.3, 0.4, 0.7])
    assert [(row["nearest_class"], pytest.approx(row["nearest_cosine"])) for row in rows] == [
        (2, 0.6),
        (2, 0.8),
        (1, 0.8),
    ]
