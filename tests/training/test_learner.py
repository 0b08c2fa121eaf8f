import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ulfine.methods.dlf import fused
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training.batches import Batch
from ulfine.training.learner import Learner, Start

START = Start(
    image_mean=torch.tensor([1.0, 0.0, 0.0]),
    text=F.normalize(torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]]), dim=-1),
    text_mean=torch.tensor([0.5, 0.0, 0.0]),
    log_prior=torch.log(torch.tensor([0.75, 0.25])),
)
BATCH = Batch(
    labeled=torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, 3.0]]),
    labels=torch.tensor([0, 1]),
    weak=torch.tensor([[1.0, 5.0, 0.0], [1.0, 1.0, 1.0]]),
    strong=torch.tensor([[1.0, 4.0, 1.0], [1.0, 1.0, 2.0]]),
    truth=torch.tensor([0, 1]),
)


def learner(params, name: str, **train) -> Learner:
    return Learner(nn.Identity(), START, Method(**params["methods"][name]), Train(**params["train"] | train))


def test_features_are_centred_and_then_normalised(params):
    found = learner(params, "lp").embed(torch.tensor([[4.0, 4.0, 0.0]]))
    assert found.tolist()[0] == pytest.approx([0.6, 0.8, 0.0])


def test_without_centring_they_are_only_normalised(params):
    plain = learner(params, "lp", center=False)
    assert plain.embed(torch.tensor([[0.0, 4.0, 3.0]])).tolist()[0] == pytest.approx([0.0, 0.8, 0.6])
    torch.testing.assert_close(plain.linear.weight.detach(), START.text)


def test_the_classifier_starts_as_centred_text(params):
    expected = F.normalize(START.text - START.text_mean, dim=-1)
    probe = learner(params, "lp")
    features = F.normalize(torch.randn(4, 3), dim=-1)
    torch.testing.assert_close(probe.logits(features)["linear"], 25 * features @ expected.T)


def test_linear_probing_has_the_two_losses_of_fixmatch(params):
    probe = learner(params, "lp", threshold=0.99, unlabeled_weight=3.0)
    result = probe(BATCH)
    logits = probe.logits(probe.embed(BATCH.labeled))["linear"]
    expected = F.cross_entropy(logits + START.log_prior, BATCH.labels)
    assert result.losses.keys() == {"labeled", "unlabeled"}
    torch.testing.assert_close(result.losses["labeled"], expected)
    assert result.targets.kept.tolist() == [True, False]  # the second weak view is as near to one class as to the other
    strong = probe.logits(probe.embed(BATCH.strong))["linear"]
    torch.testing.assert_close(
        result.losses["unlabeled"], 3 * F.cross_entropy(strong, torch.tensor([0, 0]), reduction="none")[0] / 2
    )


def test_ulfine_adds_the_text_classifier_and_orthogonality(params):
    model = learner(params, "ulfine")
    with torch.no_grad():
        model.text.weight.copy_(torch.tensor([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0]]))
    result = model(BATCH)
    assert result.losses.keys() == {"labeled", "unlabeled", "text", "orthogonality"}
    text = 25 * model.embed(BATCH.labeled) @ model.text.weight.T
    torch.testing.assert_close(result.losses["text"], F.cross_entropy(text + START.log_prior, BATCH.labels))
    assert result.losses["orthogonality"].item() == pytest.approx(0.1 * 0.8**2)
    result.losses["text"].backward()
    assert model.text.weight.grad.abs().sum() > 0 and model.linear.weight.grad is None


def test_fused_logits_decide_where_they_are_asked_to(params):
    params["methods"]["ulfine"]["dlf"]["use_in"] = ["pseudo_labels"]
    model = learner(params, "ulfine")
    assert (model.decides("pseudo_labels"), model.decides("test")) == ("fused", "linear")
    with torch.no_grad():
        model.linear.weight.copy_(torch.randn(2, 3))
    logits = model.logits(model.embed(BATCH.weak))
    torch.testing.assert_close(logits["fused"], fused(logits["text"], logits["linear"], 0.5, "range"))
    torch.testing.assert_close(model(BATCH).targets.probabilities, logits["fused"].softmax(-1))


@pytest.mark.parametrize("kind", ["learnable", "buffer"])
def test_paf_moves_the_prototypes_every_so_many_steps(params, kind):
    params["methods"]["ulfine"]["paf"] |= {"prototypes": kind, "update_every": 2}
    model = learner(params, "ulfine")
    start = model.text.weight.clone()
    result = model(BATCH)
    model.adapt(0, BATCH, result)
    assert torch.equal(model.text.weight, start)
    model.adapt(1, BATCH, result)
    assert not torch.equal(model.text.weight, start)
    share = (model.fitting.prior[1] / model.fitting.prior[0]).item()
    assert model.fitting.text_share.tolist() == pytest.approx([0.9, 1 - 0.1 * share])


def test_what_is_trained_and_how_much_that_is(params):
    assert learner(params, "lp").trainable() == 2 * 3
    assert learner(params, "ulfine").trainable() == 2 * 2 * 3
    params["methods"]["ulfine"]["paf"]["prototypes"] = "buffer"
    assert learner(params, "ulfine").trainable() == 2 * 3


def test_full_fine_tuning_gives_the_tower_a_rate_of_its_own(params):
    model = Learner(nn.Linear(3, 3), START, Method(**params["methods"]["fft"]), Train(**params["train"]))
    rest, tower = model.parameter_groups()
    assert (rest["lr"], tower["lr"]) == (0.05, 0.01)
    assert [p.shape for p in rest["params"]] == [(2, 3)] and len(tower["params"]) == 2


def test_the_trained_state_leaves_the_frozen_tower_out(params):
    tower = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3)).requires_grad_(False)
    tower[1].bias.requires_grad_(True)
    model = Learner(tower, START, Method(**params["methods"]["ulfine"]), Train(**params["train"]))
    names = set(model.trained())
    assert {name for name in names if name.startswith("encoder.")} == {"encoder.1.bias"}
    assert {"linear.weight", "text.weight", "fitting.prior"} <= names


def test_a_uniform_guess_costs_the_log_of_the_classes(params):
    probe = learner(params, "lp", scale=1e-9, logit_adjustment=0)
    assert probe(BATCH).losses["labeled"].item() == pytest.approx(math.log(2), abs=1e-6)
