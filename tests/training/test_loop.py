"""The loop on cached features: small, but the real thing."""

import math
import shutil
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.helpers import rivals
from tests.helpers.unhurried import Unhurried
from ulfine.data.augmentation import five_crops
from ulfine.models.classifiers import CosineClassifier, UnitFeatures
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training import loop
from ulfine.training.average import WeightAverage
from ulfine.training.batches import Batches
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.flops import done_and_counted, head_flops
from ulfine.training.history import History
from ulfine.training.learner import Learner
from ulfine.training.predict import predict
from ulfine.training.start import Start

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
    """Make a learner and everything that `fit` needs, the same each time."""

    def __init__(self, params, folder, method="ulfine", stop_after=None, **train):
        torch.manual_seed(0)
        self.train = Train(**params["train"] | {"steps": 12, "log_every": 5} | train)
        labels = np.arange(60) % 3
        self.views = Clouds(labels, stop_after)
        indices = {"labeled": np.arange(0, 15), "unlabeled": np.arange(15, 60)}
        self.batches = Batches(self.views, labels, indices, self.train, seed=3)
        text = torch.nn.functional.normalize(torch.randn(3, 6), dim=-1)
        tower = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)) if method == "scratch" else nn.Linear(6, 6)
        start = Start(UnitFeatures(tower, torch.zeros(6)), CosineClassifier(text, 25), text, torch.zeros(3))
        values = params["methods"].get(method) or rivals.method(method)
        self.learner = Learner(start, Method(**values), self.train, pool=45)
        self.history = History(3)
        self.checkpoint = Checkpoint(folder / "run.pt", CPU)

    def fit(self):
        self.loop = loop.Loop(
            self.learner, self.batches, self.train, self.history, self.checkpoint, lambda: [{"class": 0, "right": 1}]
        )
        return self.loop.run()


@pytest.fixture
def eager_checkpoints(monkeypatch):
    monkeypatch.setattr("ulfine.training.checkpoint.SECONDS", 0)


def test_training_learns_what_can_be_learned(params, tmp_path):
    run = Run(params, tmp_path, steps=60)
    cost = run.fit()
    predicted = predict(run.learner, run.views, "test", np.arange(60))
    assert (predicted["fused"].argmax(1) == np.arange(60) % 3).mean() > 0.95
    assert cost.images_seen == 60 * (4 + 8 + 8) and cost.flops > 0
    losses = [row["loss"] for row in run.history.rows.steps]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("method", "optimizer"),
    [*product(["lp", "fft", "ulfine", "scratch"], ["sgd", "adamw"]), *product(rivals.CONSTANTS, ["sgd"])],
)
@pytest.mark.usefixtures("eager_checkpoints")
def test_an_interrupted_run_ends_as_an_undisturbed_one(params, tmp_path, method, optimizer):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    if method == "scratch":
        params["train"] |= {"ema_decay": 0.9, "validate_every": 4}
    whole = Run(params, tmp_path / "a", method, optimizer=optimizer)
    whole.fit()
    for stop_after in (11, 13):  # in the middle of a step, twice
        with pytest.raises(KeyboardInterrupt):
            Run(params, tmp_path / "b", method, stop_after, optimizer=optimizer).fit()
    resumed = Run(params, tmp_path / "b", method, optimizer=optimizer)
    resumed.fit()
    assert resumed.views.calls < whole.views.calls
    for one, two in (
        (whole.learner.trained(), resumed.learner.trained()),
        (whole.loop.average.weights, resumed.loop.average.weights),
    ):
        assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert whole.history.rows == resumed.history.rows
    assert len(whole.history.rows.validation) == (3 if method == "scratch" else 0)


def test_a_generation_begins_anew_with_what_was_adopted(params, tmp_path):
    run = Run(params, tmp_path, "crest")
    before = run.learner.linear.weight.detach().clone()
    seen = []
    at = run.batches.at

    def noted(step, adopted):
        seen.append((step, adopted, torch.equal(run.learner.linear.weight, before)))
        return at(step, adopted)

    object.__setattr__(run.batches, "at", noted)
    run.fit()
    rates = [row["lr"] for row in run.history.rows.steps]  # after steps 5, 10 and 12
    assert rates == pytest.approx(
        [0.05, 0.05 * 0.5 * (1 + math.cos(math.pi / 4)), 0.05 * 0.5 * (1 + math.cos(0.75 * math.pi))]
    )
    assert [step for step, _, fresh in seen if fresh] == [0, 4, 8]
    assert seen[3][1] is None and (seen[4][1] >= 0).any()
    batch = at(8, seen[8][1])
    pictures, classes = run.batches._candidates(seen[8][1])
    assert len(pictures) == 15 + (seen[8][1] >= 0).sum() and len(batch.labels) == 4
    assert np.array_equal(classes[15:], seen[8][1][seen[8][1] >= 0])


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
        run.learner.encoder.encoder.weight.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"loss is nan at step 5; a smaller train\.lr may help"):
        run.fit()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("cosine", [1, 0.853553, 0.5, 0.146447]),
        ("cosine_7_16", [1, 0.941544, 0.773010, 0.514103]),
    ],
)
def test_the_schedules_by_hand(schedule, expected):
    assert [loop.rate_factor(step, 4, schedule) for step in range(4)] == pytest.approx(expected, abs=1e-6)


def test_the_rate_rises_before_the_schedule_begins():
    found = [loop.rate_factor(step, 6, "cosine", warmup=1 / 3) for step in range(6)]
    assert found == pytest.approx([0.5, 1, 1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert loop.rate_factor(0, 6, "constant", warmup=0.5) == pytest.approx(1 / 3)


def test_a_moving_mean_follows_what_passes_in_training_alone():
    encoder = UnitFeatures(nn.Identity(), torch.tensor([1.0, 0.0]), decay=0.75)
    views = torch.tensor([[4.0, 2.0], [2.0, 2.0]])  # whose mean is (3, 2)
    torch.testing.assert_close(encoder.eval()(views[:1]), F.normalize(torch.tensor([[3.0, 2.0]])))
    found = encoder.train()(views)
    assert encoder.mean.tolist() == [1.5, 0.5]
    torch.testing.assert_close(found[0], F.normalize(torch.tensor([2.5, 1.5]), dim=0))


def test_a_moving_mean_is_kept_and_brings_a_run_back(params, tmp_path, monkeypatch):
    monkeypatch.setattr("ulfine.training.checkpoint.SECONDS", 0)

    def moving(folder, **options):
        run = Run(params, folder, **options)
        run.learner.encoder = UnitFeatures(nn.Identity(), torch.zeros(6), decay=0.9)
        return run

    whole = moving(tmp_path / "a")
    whole.fit()
    assert whole.learner.trained()["encoder.mean"].abs().sum() > 0
    with pytest.raises(KeyboardInterrupt):
        moving(tmp_path / "b", stop_after=20).fit()
    again = moving(tmp_path / "b")
    again.fit()
    assert torch.equal(again.learner.encoder.mean, whole.learner.encoder.mean)


def test_the_average_of_the_weights_by_hand(params, tmp_path):
    learner = Run(params, tmp_path, "lp").learner
    average = WeightAverage(learner, decay=0.5)
    start = learner.linear.weight.detach().clone()
    with torch.no_grad():
        learner.linear.weight += 1
    average.update(done=1)  # its decay is 2 / 11 at first
    torch.testing.assert_close(average.weights["linear.weight"], start + 9 / 11)
    with torch.no_grad():
        learner.linear.weight += 1
    average.update(done=1000)
    torch.testing.assert_close(average.weights["linear.weight"], start + (9 / 11 + 2) / 2)
    with average.applied():
        torch.testing.assert_close(learner.linear.weight.detach(), start + (9 / 11 + 2) / 2)
    torch.testing.assert_close(learner.linear.weight.detach(), start + 2)


@pytest.mark.parametrize("method", ["fft", "ulfine"])
@pytest.mark.parametrize("labeled_only", [False, True])
def test_a_batch_in_parts_trains_as_a_whole_one(params, tmp_path, method, labeled_only):
    params["train"] |= {"unlabeled_ratio": 0, "losses": {"labeled": 1}} if labeled_only and method == "fft" else {}
    runs = [Run(params, tmp_path, method, accumulate=number) for number in (1, 2, 4)]
    sizes = []
    for run in runs:
        run.learner.encoder.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
        run.fit()
    assert {4, 2, 1} <= set(sizes) if run.train.unlabeled_ratio == 0 else {12, 6, 3} <= set(sizes)
    for part in runs[1:]:
        assert part.learner.trained().keys() == runs[0].learner.trained().keys()
        for name, weight in runs[0].learner.trained().items():
            torch.testing.assert_close(part.learner.trained()[name], weight, rtol=1e-4, atol=1e-5)
        for row, whole in zip(part.history.rows.steps, runs[0].history.rows.steps, strict=True):
            known = {name: value for name, value in whole.items() if value is not None}
            assert {name: row[name] for name in known} == pytest.approx(known, rel=1e-3, abs=1e-5)


SPARING = {
    "fft": {},
    "ulfine": {"pseudo_labels": "soft"},
    "lft": {"losses": {"labeled": 1, "unlabeled": 2, "soft_rest": 0}},
}


@pytest.mark.parametrize("method", SPARING)
def test_views_whose_pseudo_label_is_not_kept_do_not_pass_and_the_gradient_is_the_same(params, tmp_path, method):
    found, passed, first = [], [], Run(params, tmp_path, method, **SPARING[method])
    middle = first.learner.targets(first.batches.at(0)).confidence.median().item()
    for spares in (True, False):
        run = Run(params, tmp_path, method, threshold=middle, **SPARING[method])
        assert run.learner.spares_views
        run.learner.spares_views = spares
        batch, sizes = run.batches.at(0), []
        run.learner.encoder.register_forward_hook(lambda _, inputs, __, sizes=sizes: sizes.append(len(inputs[0])))
        step = run.learner(batch)
        losses = run.learner.losses(step)
        sum(losses.values()).backward()
        kept = step.targets.kept.sum().item()
        found.append((losses, [weight.grad for weight in run.learner.parameters()]))
        passed.append((sizes, step.passed))
    assert 0 < kept < 8
    assert passed == [([8, 4 + kept], 4 + kept), ([8, 4 + 8], 4 + 8)]
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize(
    ("method", "train"),
    [
        ("lp", {}),
        ("scratch", {}),
        ("fft", {"center": 0.9}),
        ("lft", {"compile": True}),
        ("lft", {"losses": {"labeled": 1, "unlabeled": 1, "soft_rest": 1}}),
        ("lft", {"losses": {"labeled": 1, "unlabeled": 1, "entropy": 0.1}}),
    ],
)
def test_all_views_pass_where_something_else_asks_for_them(params, tmp_path, method, train):
    run = Run(params, tmp_path, method, **train)
    assert not run.learner.spares_views
    assert run.learner(run.batches.at(0)).passed == 4 + 8 * (2 if method == "scratch" else 1)


def test_operations_of_a_training_grow_with_the_views_that_pass(params, tmp_path):
    views = {}
    for threshold in (0.0, 1.0):
        run = Run(params, tmp_path / str(threshold), "fft", steps=4, threshold=threshold)
        cost = run.fit()
        views[threshold] = run.loop.views
        weak = 8 * 2 * (6 * 6 + 6 * 3) + 2 * 8 * 3  # the tower, the classifier, the mean prediction
        view = 2 * (2 * 6 * 6 + 3 * 6 * 3)  # there and back; pictures need no gradient
        assert cost.flops == 4 * weak + views[threshold] * view
    assert views[0.0] == 4 * (4 + 8) and 4 * 4 <= views[1.0] < 4 * (4 + 8)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++")
@pytest.mark.parametrize("method", ["lft", "scratch"])
def test_a_compiled_tower_trains_as_the_plain_one(params, tmp_path, method):
    plain, compiled = (Run(params, tmp_path, method, compile=compiled) for compiled in (False, True))
    for run in (plain, compiled):
        run.fit()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    for name, weight in plain.learner.trained().items():
        torch.testing.assert_close(compiled.learner.trained()[name], weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["lp", "ulfine", "scratch", *rivals.CONSTANTS])
def test_a_step_waits_for_nothing_but_the_views_that_need_no_pass(params, tmp_path, method, monkeypatch):
    # torch looks at the labels on the CPU alone
    monkeypatch.setattr(F, "one_hot", lambda labels, classes: (labels[..., None] == torch.arange(classes)).long())
    params["methods"]["ulfine"]["paf"]["update_every"] = 1
    params["train"] |= {"distribution_alignment": 0.5, "ema_decay": 0.9}
    run = Run(params, tmp_path, method, log_every=12)
    run.loop = loop.Loop(run.learner, run.batches, run.train, run.history, run.checkpoint, list)
    run.loop._step(0)  # counts its operations
    with Unhurried(allowed=3 if run.learner.spares_views else 0):
        for step in range(1, 4):
            run.loop._step(step)
    with pytest.raises(AssertionError), Unhurried():
        run.loop._log(4)


def test_five_crops_are_averaged(params, tmp_path):
    class Pictures:
        def plain(self, _, indices):
            return torch.arange(len(indices) * 12 * 12 * 3).reshape(-1, 12, 12, 3).float()

    learner = Run(params, tmp_path, "lp").learner
    learner.encoder.encoder = nn.Sequential(nn.Flatten(), nn.LazyLinear(6))
    crops = five_crops(Pictures().plain("", range(2)))
    assert {tuple(crop.shape) for crop in crops} == {(2, 11, 11, 3)}
    expected = torch.stack([learner.linear(learner.encoder(crop)) for crop in crops]).mean(0)
    found = predict(learner, Pictures(), "test", np.arange(2), crops=5)["linear"]
    torch.testing.assert_close(torch.from_numpy(found), expected.detach())


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("frozen", [False, True])
def test_operations_of_a_convolution_by_hand(groups, frozen):
    layer = nn.Conv2d(8, 8, 3, padding=1, groups=groups).requires_grad_(not frozen)
    x = torch.randn(2, 8, 5, 5, requires_grad=True)
    forward = 2 * (2 * 8 * 5 * 5) * (8 // groups * 9)  # two for a multiply-add, per output, per weight it meets
    assert done_and_counted(lambda: layer(x).sum().backward())[1] == forward * (2 if frozen else 3)


@pytest.mark.parametrize("method", ["lp", "frozen", "ulfine_frozen", "buffer"])
@pytest.mark.parametrize("ratio", [0, 2])
def test_operations_of_heads_are_those_that_torch_counts(params, tmp_path, method, ratio):
    if method not in params["methods"]:
        params["methods"][method] = params["methods"]["ulfine"] | {"tune": "head"}
        del params["methods"][method]["adapter"]
    if method == "buffer":
        params["methods"][method]["paf"]["prototypes"] = "buffer"
    losses = {"labeled": 1, "unlabeled": 1} if ratio else {"labeled": 1}
    run = Run(params, tmp_path, method, unlabeled_ratio=ratio, losses=losses)
    run.learner.encoder.encoder = nn.Identity()
    batch = run.batches.at(0)

    def step():
        result = run.learner(batch)
        sum(run.learner.losses(result).values()).backward()
        run.learner.adapt(0, result)

    assert done_and_counted(step) == (None, head_flops(run.learner, 4, 4 * ratio))
