"""Many heads trained as one, against each trained alone."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.helpers.pictures import augmentation
from tests.helpers.rivals import CONSTANTS, method
from ulfine.data.features import Text
from ulfine.data.store import Store
from ulfine.params.method import Method
from ulfine.params.sweep import applied, trials
from ulfine.params.train import Train
from ulfine.training import run, sweep
from ulfine.training.checkpoint import Checkpoint
from ulfine.training.inputs import Inputs
from ulfine.training.start import start_from_text

CPU = torch.device("cpu")
CLASSES, WIDTH, PICTURES = 4, 12, 80


class Frozen:
    """Features of noisy clouds of points, in memory."""

    def __init__(self):
        rng = np.random.default_rng(0)
        labels = np.arange(PICTURES) % CLASSES
        centres = rng.normal(size=(CLASSES, WIDTH))
        self.views = {
            "plain": self._noisy(rng, centres, labels, 1)[0],
            "test": self._noisy(rng, centres, labels, 1)[0],
            "weak": self._noisy(rng, centres, labels, 2),
            "strong": self._noisy(rng, centres, labels, 3),
        }
        prototypes = F.normalize(torch.from_numpy(centres + rng.normal(size=centres.shape)), dim=-1).float().numpy()
        self.of_classes = Text(prototypes, prototypes.mean(0), 10.0, 0.0)

    def _noisy(self, rng, centres, labels, views):
        return (centres[labels] + rng.normal(size=(views, PICTURES, WIDTH))).astype(np.float32)

    def view(self, view, _):
        return self.views[view]

    def rows(self, _, indices):
        return indices

    def of(self, view, _, indices):
        return self.views[view][indices]

    def text(self, _):
        return self.of_classes


@pytest.fixture
def inputs() -> Inputs:
    labels = np.arange(PICTURES) % CLASSES
    images = np.zeros((PICTURES, 8, 8, 3), np.uint8)
    store = Store({"train": images, "test": images}, {"train": labels, "test": labels}, {})
    indices = {"labeled": [0, 1, 2, 3, 4, 8], "unlabeled": list(range(12, 60)), "validation": list(range(60, 80))}
    split = {"indices": indices, "counts": {"labeled": [3, 1, 1, 1]}}
    return Inputs(store, Frozen(), "pooled", split)


VALUES = {
    "lp": {
        "train.lr": [0.01, 0.3],
        "train.momentum": [0.5, 0.9],
        "train.weight_decay": [0, 0.01],
        "train.scale": [5, 25],
        "train.threshold": [0.3, 0.9],
        "train.logit_adjustment": [0, 1],
    },
    "adjusted": {
        "train.pseudo_label_adjustment": [0, 1.5],
        "train.unlabeled_adjustment": [0, 1],
        "train.prior_decay": [0.5, 0.99],
        "train.distribution_alignment": ["none", 0.5],
        "train.pseudo_labels": ["hard", "soft"],
        "train.optimizer": ["sgd", "adamw"],
    },
    "ulfine": {"paf.mu": [0, 0.5], "paf.visual_decay": [0, 0.9], "paf.orthogonality": [0, 1], "dlf.eta": [0, 1]},
    "projection": {"paf.orthogonality": [0, 0.5], "dlf.align": ["range", "std", "none"], "paf.anchor": ["initial"]},
    "buffer": {
        "paf.orthogonality": [0, 2],
        "paf.update_every": [1, 3],
        "train.ema_decay": [0, 0.9],
    },
}


VALUES |= {kind: {"train.lr": [0.01, 0.3], "train.scale": [5, 25], "train.threshold": [0.3, 0.7]} for kind in CONSTANTS}


def varied(params: dict, name: str) -> list[tuple[Method, Train]]:
    values = method(name) if name in CONSTANTS else {"tune": "head"}
    if name not in ("lp", "adjusted", *CONSTANTS):
        values |= copy.deepcopy({key: params["methods"]["ulfine"][key] for key in ("paf", "dlf")})
        values["paf"] |= {"projection": {"orthogonality_by": "projection"}, "buffer": {"prototypes": "buffer"}}.get(
            name, {}
        )
    options = {"steps": 15, "log_every": 5, "logit_adjustment": 0 if name == "adjusted" else 1}
    train = Train(**params["train"] | options)
    return [applied(each, Method(**values), train) for each in trials(VALUES[name])]


def swept(inputs, found, folder, *, score=dict, encoder=lambda *_: nn.Identity()):
    checkpoint = Checkpoint(folder / "all.pt", CPU)
    options = {"augmentation": augmentation(), "seed": 7, "device": CPU, "checkpoint": checkpoint}
    return sweep.sweep(inputs, found, score, encoder=encoder, **options)


def alone(inputs, trial, folder, seed):
    method, train = trial
    found = run.train(
        inputs,
        start=lambda: start_from_text(inputs, train),
        method=method,
        options=train,
        augmentation=None,
        seed=seed,
        device=CPU,
        checkpoint=Checkpoint(folder / "alone.pt", CPU),
    )
    return {name.removeprefix("validation."): x for name, x in found.logits.items() if name.startswith("validation.")}


@pytest.mark.parametrize("name", VALUES)
def test_each_head_equals_its_own_run(inputs, params, tmp_path, name):
    found = varied(params, name)
    rows = swept(inputs, found, tmp_path)
    assert len(rows) == len(found)
    distinct = set()
    for trial, together in zip(found, rows, strict=True):
        expected = alone(inputs, trial, tmp_path, 7)
        assert together.keys() == expected.keys() - {"labels"}
        for classifier, logits in together.items():
            np.testing.assert_allclose(logits, expected[classifier], rtol=1e-5, atol=1e-5)
        distinct.add(together["linear"].tobytes())
    assert len(distinct) >= len(found) // 4  # the trials do something


def test_trials_are_grouped_by_what_cannot_differ_within_a_training(params):
    found = varied(params, "projection")
    assert [sorted(group) for group in sweep.groups(found)] == [[0, 1], [2, 3], [4, 5]]
    assert [len(group) for group in sweep.groups(varied(params, "lp") * 5)] == [128, 128, 64]


def test_a_head_that_diverges_leaves_the_others_alone(inputs, params, tmp_path):
    train = Train(**params["train"] | {"steps": 15})
    found = [applied({"train.lr": lr}, Method(tune="head"), train) for lr in (0.01, 1e38)]
    rows = swept(inputs, found, tmp_path)
    assert not np.isfinite(rows[1]["linear"]).all()
    np.testing.assert_allclose(rows[0]["linear"], alone(inputs, found[0], tmp_path, 7)["linear"], rtol=1e-5, atol=1e-4)


def test_a_sweep_that_was_killed_goes_on_where_it_was(inputs, params, tmp_path, monkeypatch):
    monkeypatch.setattr("ulfine.training.checkpoint.SECONDS", 0)
    found = varied(params, "projection")

    def row(logits):
        return {"sum": float(logits["fused"].sum())}

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    whole, calls = swept(inputs, found, tmp_path / "a", score=row), []

    def killed(logits):
        calls.append(0)
        if len(calls) == 4:  # the second of the second group
            raise KeyboardInterrupt
        return row(logits)

    with pytest.raises(KeyboardInterrupt):
        swept(inputs, found, tmp_path / "b", score=killed)
    again = []
    assert swept(inputs, found, tmp_path / "b", score=lambda logits: again.append(0) or row(logits)) == whole
    assert len(again) == 4  # of six: the first group was done


@pytest.mark.parametrize(
    ("trial", "message"),
    [
        ({"paf.mu": 0.1}, r"key 'paf\.mu': not one of this method \(allowed: layer_decay, tower_lr, a key of train\)"),
        ({"threshold": 0.1}, r"key 'threshold': not one of this method"),
        ({"train.treshold": 0.1}, r"train\.treshold = 0\.1: .*unknown key 'treshold'"),
        ({"train.threshold": 2}, r"train\.threshold = 2: .*threshold = 2"),
        ({"train.test_crops": 5}, r"test_crops = 5: tune: head sees cached features"),
    ],
)
def test_a_wrong_trial_is_named(params, trial, message):
    with pytest.raises(ValueError, match=message):
        applied(trial, Method(tune="head"), Train(**params["train"]))
