import math

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.helpers.project import TINY_CLIP
from ulfine.methods.dlf import fused
from ulfine.models.blocks import distances
from ulfine.models.classifiers import CosineClassifier, UnitFeatures
from ulfine.params.method import Method
from ulfine.params.train import Train
from ulfine.training.batches import Batch
from ulfine.training.learner import Learner
from ulfine.training.start import Start

TEXT = F.normalize(torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, 2.0]]), dim=-1)
LOG_PRIOR = torch.log(torch.tensor([0.75, 0.25]))
BATCH = Batch(
    labeled=torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, 3.0]]),
    labels=torch.tensor([0, 1]),
    weak=torch.tensor([[1.0, 5.0, 0.0], [1.0, 1.0, 1.0]]),
    strong=torch.tensor([[1.0, 4.0, 1.0], [1.0, 1.0, 2.0]]),
    own=torch.tensor([True, True]),
    truth=torch.tensor([0, 1]),
)


def learner(params, name: str, encoder: nn.Module | None = None, **train) -> Learner:
    encoder = encoder or UnitFeatures(nn.Identity(), torch.tensor([1.0, 0.0, 0.0]))
    start = Start(encoder, CosineClassifier(TEXT, 25), TEXT, LOG_PRIOR)
    return Learner(start, Method(**params["methods"][name]), Train(**params["train"] | train))


def losses(model: Learner, batch: Batch = BATCH) -> dict[str, torch.Tensor]:
    return model.losses(model(batch))


def test_the_classifier_starts_as_text(params):
    features = F.normalize(torch.randn(4, 3), dim=-1)
    torch.testing.assert_close(learner(params, "lp").logits(features)["linear"], 25 * features @ TEXT.T)


def test_linear_probing_has_the_two_losses_of_fixmatch(params):
    probe = learner(params, "lp", threshold=0.99, losses={"labeled": 1, "unlabeled": 3})
    found = losses(probe)
    logits = probe.logits(probe.encoder(BATCH.labeled))["linear"]
    expected = F.cross_entropy(logits + LOG_PRIOR, BATCH.labels)
    assert found.keys() == {"labeled", "unlabeled"}
    torch.testing.assert_close(found["labeled"], expected)
    kept = probe(BATCH).targets.kept.tolist()
    assert kept == [True, False]  # the second weak view is as near to one class as to the other
    strong = probe.logits(probe.encoder(BATCH.strong))["linear"]
    torch.testing.assert_close(
        found["unlabeled"], 3 * F.cross_entropy(strong, torch.tensor([0, 0]), reduction="none")[0] / 2
    )


def test_ulfine_adds_the_text_classifier_and_orthogonality(params):
    model = learner(params, "ulfine")
    with torch.no_grad():
        model.text.weight.copy_(torch.tensor([[0.6, 0.8, 0.0], [0.0, 1.0, 0.0]]))
    found = losses(model)
    assert found.keys() == {"labeled", "unlabeled", "text", "orthogonality"}
    text = 25 * model.encoder(BATCH.labeled) @ model.text.weight.T
    torch.testing.assert_close(found["text"], F.cross_entropy(text + LOG_PRIOR, BATCH.labels))
    assert found["orthogonality"].item() == pytest.approx(0.1 * 0.8**2)
    found["text"].backward()
    assert model.text.weight.grad.abs().sum() > 0 and model.linear.weight.grad is None


def test_fused_logits_decide_where_they_are_asked_to(params):
    params["methods"]["ulfine"]["dlf"]["use_in"] = ["pseudo_labels"]
    model = learner(params, "ulfine")
    assert (model.decides("pseudo_labels"), model.decides("test")) == ("fused", "linear")
    with torch.no_grad():
        model.linear.weight.copy_(torch.randn(2, 3))
    logits = model.logits(model.encoder(BATCH.weak))
    torch.testing.assert_close(logits["fused"], fused(logits["text"], logits["linear"], 0.5, "range"))
    torch.testing.assert_close(model(BATCH).targets.probabilities, logits["fused"].softmax(-1))


@pytest.mark.parametrize("kind", ["learnable", "buffer"])
def test_paf_moves_the_prototypes_every_so_many_steps(params, kind):
    params["methods"]["ulfine"]["paf"] |= {"prototypes": kind, "update_every": 2}
    model = learner(params, "ulfine")
    start = model.text.weight.clone()
    step = model(BATCH)
    model.adapt(0, step)
    assert torch.equal(model.text.weight, start)
    model.adapt(1, step)
    assert not torch.equal(model.text.weight, start)
    share = model.prior.share()
    assert model.fitting.text_share.tolist() == pytest.approx((1 - 0.1 * share / share.max()).tolist())


def test_what_is_trained_and_how_much_that_is(params):
    assert learner(params, "lp").trainable() == 2 * 3
    assert learner(params, "ulfine").trainable() == 2 * 2 * 3
    params["methods"]["ulfine"]["paf"]["prototypes"] = "buffer"
    assert learner(params, "ulfine").trainable() == 2 * 3


def test_full_fine_tuning_gives_the_tower_a_rate_of_its_own(params):
    model = learner(params, "fft", nn.Linear(3, 3))
    rest, tower = model.parameter_groups()
    assert (rest["lr"], tower["lr"]) == (0.05, 0.01)
    assert [p.shape for p in rest["params"]] == [(2, 3)] and len(tower["params"]) == 2


def test_layers_further_from_the_end_learn_more_slowly(params):
    params["methods"]["fft"]["layer_decay"] = 0.5
    torch.manual_seed(0)
    tower = open_clip.model._build_vision_tower(16, open_clip.CLIPVisionCfg(**TINY_CLIP["vision_cfg"]))
    tower.distances = lambda: distances(tower)
    rest, *groups = learner(params, "fft", tower).parameter_groups()
    names = {id(parameter): name for name, parameter in tower.named_parameters()}
    rates = {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}
    assert rest["lr"] == 0.05 and len(rates) == len(names)
    assert rates["ln_post.weight"] == 0.01  # of two blocks, the second is the last
    assert {rate for name, rate in rates.items() if "resblocks.1." in name} == {0.005}
    assert {rate for name, rate in rates.items() if "resblocks.0." in name} == {0.0025}
    assert rates["conv1.weight"] == rates["class_embedding"] == 0.00125


def test_weight_decay_can_spare_biases(params):
    groups = learner(params, "fft", nn.Linear(3, 3), decay_vectors=False).parameter_groups()
    assert {(group["weight_decay"], group["params"][0].ndim) for group in groups} == {(5e-4, 2), (0.0, 1)}
    assert sum(len(group["params"]) for group in groups) == 3


def test_the_trained_state_leaves_the_frozen_tower_out(params):
    tower = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3)).requires_grad_(False)
    tower[1].bias.requires_grad_(True)
    names = set(learner(params, "ulfine", tower).trained())
    assert {name for name in names if name.startswith("encoder.")} == {"encoder.1.bias"}
    assert {"linear.weight", "text.weight", "prior.mean", "fitting.visual"} <= names


def test_a_uniform_guess_costs_the_log_of_the_classes(params):
    probe = learner(params, "lp", logit_adjustment=0)
    probe.linear.scale = 1e-9
    assert losses(probe)["labeled"].item() == pytest.approx(math.log(2), abs=1e-6)


def test_labeled_pictures_alone(params):
    probe = learner(params, "lp", unlabeled_ratio=0, losses={"labeled": 1})
    found = losses(probe, Batch(BATCH.labeled, BATCH.labels))
    assert found.keys() == {"labeled"}
    assert found["labeled"].item() == pytest.approx(losses(learner(params, "lp"))["labeled"].item())


def test_predictions_are_adjusted_then_counted_then_aligned(params):
    train = {"logit_adjustment": 0, "pseudo_label_adjustment": 1}
    model = learner(params, "lp", **train, distribution_alignment=0)
    raw = model.linear(model.encoder(BATCH.weak)).softmax(-1)
    balanced = raw / torch.tensor([0.75, 0.25])
    balanced = balanced / balanced.sum(1, keepdim=True)
    found = model(BATCH).targets.probabilities
    torch.testing.assert_close(model.prior.share(), balanced.mean(0))
    aligned = balanced / balanced.mean(0)
    torch.testing.assert_close(found, aligned / aligned.sum(1, keepdim=True))


def test_the_unlabeled_loss_goes_by_the_estimated_prior_or_the_labeled_one(params):
    for prior in ("labeled", "estimated"):
        model = learner(params, "lp", unlabeled_adjustment=1, unlabeled_prior=prior)
        step = model(BATCH)
        assert step.unlabeled_prior.tolist() == (LOG_PRIOR if prior == "labeled" else model.prior.log()).tolist()


def test_from_scratch_all_views_share_one_pass(params):
    seen = []

    class Encoder(nn.Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)

    start = Start(Encoder(3, 5), nn.Linear(5, 2), None, LOG_PRIOR)
    model = Learner(start, Method(**params["methods"]["scratch"]), Train(**params["train"]))
    assert losses(model).keys() == {"labeled", "unlabeled"} and seen == [6]
