"""The loop on cached features: small, but the real thing."""

import numpy as np
import pytest
import torch
from torch import nn

from ulfine.methods.fixmatch import PseudoLabels
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training import loop
from ulfine.training.batches import Batches
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.flops import flop_counter
from ulfine.training.history import History
from ulfine.training.learner import Learner, Start

CPU = torch.device("cpu")


class Clouds:
    """Three clouds of points; a view adds noise."""

    device = CPU

    def __init__(self, labels: np.ndarray, stop_after: int | None = None):
        self.points = torch.nn.functional.one_hot(torch.from_numpy(labels), 6).float() * 2
        self.calls, self.stop_after = 0, stop_after

    def weak(self, indices, seed, noise=0.3):
        self.calls += 1
        if self.stop_after is not None and self.calls > self.stop_after:
            raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(seed % 2**63)
        return self.points[indices] + noise * torch.randn(len(indices), 6, generator=generator)

    def strong(self, indices, seed):
        return self.weak(indices, seed, noise=1.0)

    def plain(self, _, indices):
        return self.points[indices]


class Run:
    """A learner and all that `fit` needs, the same every time."""

    def __init__(self, params, folder, method="ulfine", stop_after=None, **train):
        torch.manual_seed(0)
        self.train = Train(**params["train"] | {"steps": 12, "log_every": 5} | train)
        labels = np.arange(60) % 3
        self.views = Clouds(labels, stop_after)
        indices = {"labeled": np.arange(0, 15), "unlabeled": np.arange(15, 60)}
        self.batches = Batches(self.views, labels, indices, self.train, seed=3)
        start = Start(torch.zeros(6), torch.randn(3, 6), torch.zeros(6), torch.zeros(3))
        encoder = nn.Linear(6, 6)
        self.learner = Learner(encoder, start, Method(**params["methods"][method]), self.train)
        self.history = History(3, CPU)
        self.checkpoint = Checkpoint(folder / "run.pt", CPU)

    def fit(self):
        return loop.Loop(self.learner, self.batches, self.train, self.history, self.checkpoint).run()


@pytest.fixture
def eager_checkpoints(monkeypatch):
    monkeypatch.setattr("ulfine.training.checkpoint.SECONDS", 0)


def test_training_learns_what_can_be_learned(params, tmp_path):
    run = Run(params, tmp_path, steps=60)
    cost = run.fit()
    predicted = loop.predict(run.learner, run.views, "test", np.arange(60))
    assert (predicted["fused"].argmax(1) == np.arange(60) % 3).mean() > 0.95
    assert cost.images_seen == 60 * (4 + 8 + 8) and cost.flops > 0
    losses = [row["loss"] for row in run.history.rows]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("method", ["lp", "fft", "ulfine"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.usefixtures("eager_checkpoints")
def test_an_interrupted_run_ends_as_an_undisturbed_one(params, tmp_path, method, optimizer):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    whole = Run(params, tmp_path / "a", method, optimizer=optimizer)
    whole.fit()
    for stop_after in (11, 13):  # in the middle of a step, twice
        with pytest.raises(KeyboardInterrupt):
            Run(params, tmp_path / "b", method, stop_after, optimizer=optimizer).fit()
    resumed = Run(params, tmp_path / "b", method, optimizer=optimizer)
    resumed.fit()
    assert resumed.views.calls < whole.views.calls
    one, two = whole.learner.trained(), resumed.learner.trained()
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert whole.history.rows == resumed.history.rows
    assert whole.history.class_rows == resumed.history.class_rows


@pytest.mark.parametrize("keep", [None, b"", bytes(500), b"garbage"])
@pytest.mark.usefixtures("eager_checkpoints")
def test_a_spoilt_checkpoint_is_as_good_as_none(params, tmp_path, capsys, keep):
    first = Run(params, tmp_path)
    first.fit()
    path = tmp_path / "run.pt"
    path.write_bytes(path.read_bytes()[:500] if keep is None else keep)
    again = Run(params, tmp_path)
    again.fit()
    assert "not usable" in capsys.readouterr().out
    assert torch.equal(first.learner.linear.weight, again.learner.linear.weight)


def test_a_loss_that_is_not_finite_stops_the_run(params, tmp_path):
    run = Run(params, tmp_path)
    with torch.no_grad():
        run.learner.encoder.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"loss is nan at step 5; a smaller train\.lr may help"):
        run.fit()


def test_the_cosine_schedule_by_hand():
    assert [loop.rate_factor(step, 4, "cosine") for step in range(4)] == pytest.approx(
        [1, 0.853553, 0.5, 0.146447], abs=1e-6
    )
    assert loop.rate_factor(3, 4, "constant") == 1


def test_history_counts_by_hand():
    history = History(3, CPU)
    targets = PseudoLabels(
        labels=torch.tensor([0, 1, 1, 2]),
        confidence=torch.tensor([0.9, 0.9, 0.9, 0.1]),
        kept=torch.tensor([True, True, True, False]),
        probabilities=torch.zeros(4, 3),
    )
    history.add({"labeled": torch.tensor(1.0)}, targets, torch.tensor([0, 0, -1, 2]))
    history.add({"labeled": torch.tensor(2.0)}, targets, torch.tensor([0, 1, 2, 2]))
    row = history.close_row(2, lr=0.5)
    assert row["loss"] == row["loss_labeled"] == 1.5
    assert row["pl_coverage"] == pytest.approx(5 / 7)  # of 7 pictures of known class
    assert row["pl_accuracy"] == pytest.approx(3 / 5)
    assert history.class_rows == [
        {"step": 2, "class": 0, "seen": 3, "kept": 3, "right": 2, "predicted": 2},
        {"step": 2, "class": 1, "seen": 1, "kept": 1, "right": 1, "predicted": 4},
        {"step": 2, "class": 2, "seen": 3, "kept": 1, "right": 0, "predicted": 0},
    ]
    assert history.close_row.__self__._tallies["seen"].sum() == 0


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("frozen", [False, True])
def test_operations_of_a_convolution_by_hand(groups, frozen):
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=groups).requires_grad_(not frozen)
    x = torch.randn(2, 8, 5, 5, requires_grad=True)
    forward = 2 * (2 * 8 * 5 * 5) * (8 // groups * 9)  # two for a multiply-add, per output, per weight it meets
    with flop_counter() as counter:
        layer(x).sum().backward()
    assert counter.get_total_flops() == forward * (2 if frozen else 3)
