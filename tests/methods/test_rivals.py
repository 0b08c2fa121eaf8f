"""Each rival's equations, on numbers worked out by hand."""

import math
import re
import textwrap
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from tests.helpers.project import ROOT
from tests.helpers.rivals import CONSTANTS, method
from ulfine.methods.fixmatch import PseudoLabels, pseudo_labels
from ulfine.methods.losses import Step
from ulfine.methods.prior import PriorEstimate, divergences
from ulfine.methods.rivals.base import Beginning, Rival, Weak
from ulfine.methods.rivals.crest import adoption_rates
from ulfine.methods.rivals.kinds import make_rival
from ulfine.params.method import Method
from ulfine.params.rival import Trained
from ulfine.params.train import Train

PRIOR = torch.tensor([0.8, 0.2])


def linear(rows: list[list[float]]) -> nn.Linear:
    layer = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(rows))
    return layer


def make(params, kind: str, text: torch.Tensor | None = None, **train) -> Rival:
    """A rival of two classes, four unlabeled pictures, and a classifier whose logits are the features themselves."""
    options = Method(**method(kind)).rival
    steps = Train(**params["train"] | {"threshold": 0.7} | train)
    return make_rival(
        options, Beginning(steps, linear([[1.0, 0.0], [0.0, 1.0]]), text, PRIOR.log(), pool=5 if kind == "crest" else 4)
    )


def weak(shares: list[list[float]], pictures: list[int] | None = None) -> Weak:
    logits = torch.tensor(shares).log()
    number = torch.tensor(pictures or range(len(shares)))
    return Weak(logits, logits, logits, number, torch.ones(len(shares), dtype=torch.bool))


def step(rival: Rival, seen: Weak, strong: list[list[float]], **more) -> Step:
    """One labeled picture of class 1 whose features, and logits, are (0.4, 0.6)."""
    features = torch.tensor([[0.4, 0.6]])
    of_strong = torch.tensor(strong).log().requires_grad_()
    return Step(
        rival.train_options,
        labels=torch.tensor([1]),
        labeled={"linear": features},
        features=features,
        of_labeled=features,
        prior=PRIOR.log(),
        strong=of_strong,
        of_strong=of_strong,
        targets=rival.targets(seen),
        unlabeled_prior=PRIOR.log(),
        **more,
    )


def test_every_rival_has_a_test_of_its_own():
    assert set(CONSTANTS) == {option.model_fields["kind"].annotation.__args__[0] for option in Trained.__args__}


def test_fixmatch_is_the_rival_that_changes_nothing(params):
    rival = make_rival(None, Beginning(Train(**params["train"]), nn.Identity(), None, PRIOR.log(), 4))
    seen = weak([[0.9, 0.1], [0.6, 0.4]])
    expected = pseudo_labels(seen.logits, params["train"]["threshold"])
    assert all(torch.equal(a, b) for a, b in zip(rival.targets(seen), expected, strict=True))
    assert not rival.state_dict() and rival.losses(None) == {} and rival.priors(1, 2) == (1, 2)


def test_flexmatch_lowers_the_threshold_of_classes_that_were_learned_less(params):
    rival = make(params, "flexmatch")
    first = rival.targets(weak([[0.9, 0.1], [0.8, 0.2], [0.35, 0.65]], [0, 1, 2]))
    assert first.kept.tolist() == [True, True, True]  # nothing is learned: every threshold is 0
    assert rival.last.tolist() == [0, 0, -1, -1]  # 0.65 is not above 0.7
    assert rival.learned().tolist() == [1.0, 0.0]  # two of class 0, none of class 1, two without
    rival.targets(weak([[0.1, 0.9]], [3]))
    assert rival.learned().tolist() == [1.0, 0.5]
    # thresholds 0.7 * 1 / (2 - 1) and 0.7 * 0.5 / (2 - 0.5) = 0.2333
    found = rival.targets(weak([[0.65, 0.35], [0.48, 0.52]], [0, 1]))
    assert found.kept.tolist() == [False, True] and found.weights.tolist() == [0.0, 1.0]
    assert rival.last.tolist() == [0, 0, -1, 1]


def test_freematch_follows_confidence_and_balances_predictions(params):
    rival = make(params, "freematch")
    seen = weak([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    made = step(rival, seen, [[0.8, 0.2], [0.6, 0.4], [0.4, 0.6]])
    confidence = 0.5 * 0.5 + 0.5 * (0.9 + 0.6 + 0.8) / 3
    mean = [0.5 * 0.5 + 0.5 * 1.7 / 3, 0.5 * 0.5 + 0.5 * 1.3 / 3]
    assert rival.confidence.item() == pytest.approx(confidence)
    assert rival.mean.tolist() == pytest.approx(mean)
    assert rival.histogram.tolist() == pytest.approx([0.25 + 1 / 3, 0.25 + 1 / 6])
    # bars: 0.633 for class 0, 0.633 * 0.467 / 0.533 = 0.554 for class 1
    assert made.targets.kept.tolist() == [True, False, True]
    wanted = [m / h for m, h in zip(mean, rival.histogram.tolist(), strict=True)]
    wanted = [x / sum(wanted) for x in wanted]
    # of the strong views kept: mean prediction (0.6, 0.4), half of them predicted as each class
    expected = 2 * (wanted[0] * math.log(0.6) + wanted[1] * math.log(0.4))
    assert rival.losses(made)["fairness"].item() == pytest.approx(expected)


def test_softmatch_weighs_by_a_truncated_gaussian(params):
    rival = make(params, "softmatch")
    found = rival.targets(weak([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]))
    # predictions: mean (0.6, 0.4), also their EMA, which begins there; confidence after alignment:
    aligned = [(p / 0.6) / (p / 0.6 + (1 - p) / 0.4) for p in (0.9, 0.6, 0.3)]
    confidence = [max(p, 1 - p) for p in aligned]
    mean = 0.25 + 0.5 * sum(confidence) / 3
    variance = 0.5 + 0.5 * sum((c - sum(confidence) / 3) ** 2 for c in confidence) / 2
    expected = [math.exp(-(min(c - mean, 0) ** 2) * 4 / (2 * variance)) for c in confidence]
    assert found.weights.tolist() == pytest.approx(expected, rel=1e-5)
    assert expected[0] == 1 and expected[1] < 1
    assert found.labels.tolist() == [0, 0, 1] and found.kept.all()


def test_debiaspl_takes_the_estimated_prior_off(params):
    prior = PriorEstimate((2,), 0)
    prior.observe(torch.tensor([[0.8, 0.2]]), torch.tensor([True]))
    read = make(params, "debiaspl").read(torch.tensor([[1.0, 2.0]]), prior)
    assert read[0].tolist() == pytest.approx([1 - 0.5 * math.log(0.8), 2 - 0.5 * math.log(0.2)])


def test_simpro_moves_both_priors(params):
    rival = make(params, "simpro")
    read = rival.read(torch.tensor([[1.0, 2.0]]), None)
    assert read[0].tolist() == pytest.approx([1 + math.log(0.5), 2 + math.log(0.5)])
    assert rival.priors(None, None)[0].exp().tolist() == pytest.approx([0.8, 0.2])
    made = step(rival, weak([[0.9, 0.1], [0.6, 0.4]]), [[0.5, 0.5], [0.5, 0.5]])
    rival.adapt(0, made)  # the first pseudo-label alone is kept: mass (0.9, 0.1); with the label (0.9, 1.1)
    assert rival.unlabeled.tolist() == pytest.approx([0.5 * 0.5 + 0.5 * 0.9, 0.5 * 0.5 + 0.5 * 0.1])
    assert rival.learned.tolist() == pytest.approx([0.4 + 0.5 * 0.45, 0.1 + 0.5 * 0.55])
    rival.adapt(1, step(rival, weak([[0.6, 0.4]]), [[0.5, 0.5]]))  # nothing is kept: only the label counts
    assert rival.estimate().tolist() == pytest.approx([0.7, 0.3])
    assert rival.learned.tolist() == pytest.approx([0.3125, 0.6875])


def test_divergences_are_symmetric_and_halved():
    prior, anchors = torch.tensor([0.5, 0.5]), torch.tensor([[0.8, 0.2], [0.5, 0.5]])
    expected = 0.5 * ((0.5 - 0.8) * math.log(0.5 / 0.8) + (0.5 - 0.2) * math.log(0.5 / 0.2))
    assert divergences(prior, anchors).tolist() == pytest.approx([expected, 0])


def test_acr_adjusts_targets_and_trains_a_balanced_branch(params):
    rival = make(params, "acr")
    assert rival.anchors.tolist() == [pytest.approx(row) for row in ([0.8, 0.2], [0.5, 0.5], [0.2, 0.8])]
    seen = weak([[0.8, 0.2], [0.97, 0.03], [0.55, 0.45]])
    # odds of class 0 over class 1 are divided by (0.8 / 0.2)^2 = 16: 4, 32.3 and 1.22 become 0.25, 2.02 and 0.076
    made = step(rival, seen, [[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]])
    assert made.targets.labels.tolist() == [1, 0, 1]
    assert made.targets.kept.tolist() == [True, True, True]  # 0.8; 0.67 adjusted but 0.97 as it is; 0.93
    assert rival.of_balanced.labels.tolist() == [1, 0, 1] and rival.of_balanced.kept.all()
    losses = rival.losses(made)
    adjusted = torch.tensor([[0.4, 0.6]]) + 2 * PRIOR.log()
    assert losses["balanced"].item() == pytest.approx(cross_entropy(adjusted, torch.tensor([1])).item())
    assert losses["balanced_unlabeled"].item() == pytest.approx(-(2 * math.log(0.5) + math.log(0.1)) / 3)
    rival.adapt(0, made)  # the balanced branch is sure of the first two, both of class 0
    assert rival.estimate().tolist() == pytest.approx([0.75, 0.25])
    found = divergences(torch.tensor([0.75, 0.25]), rival.anchors).exp()
    assert rival.tau.item() == pytest.approx((2 * found[0] / found.sum()).item())
    assert rival.logits(torch.tensor([[1.0, 2.0]]))["balanced"].tolist() == [[1.0, 2.0]]


def test_daso_blends_with_similarities_by_the_share_of_the_class(params):
    rival = make(params, "daso")
    seen = weak([[0.9, 0.1], [0.4, 0.6]])
    made = step(rival, seen, [[0.5, 0.5], [0.5, 0.5]])
    for labels, features in (([0], [[3.0, 0.0]]), ([1, 1, 1], [[9.0, 9.0], [0.0, 2.0], [0.0, 4.0]])):
        rival.adapt(0, replaced(made, torch.tensor(labels), torch.tensor(features)))
    assert rival.prototypes().tolist() == [[3.0, 0.0], [0.0, 3.0]]  # the oldest of class 1 is gone
    assert rival.seen.tolist() == [1, 3]
    rival.share = torch.tensor([0.64, 0.36])  # v = (0.8, 0.6) / 0.8
    found = rival.targets(seen)
    similar = (normalize(seen.features, dim=-1) / 0.5).softmax(-1)
    expected = [similar[0].tolist(), (0.25 * torch.tensor([0.4, 0.6]) + 0.75 * similar[1]).tolist()]
    assert found.probabilities.tolist() == [pytest.approx(row) for row in expected]
    counts = [found.labels.tolist().count(k) / 2 for k in (0, 1)]
    assert torch.equal(rival.final(seen), rival.final(seen))  # which changes nothing
    assert rival.share.tolist() == pytest.approx([0.5 * 0.64 + 0.5 * counts[0], 0.5 * 0.36 + 0.5 * counts[1]])
    strong = (normalize(made.of_strong, dim=-1) / 0.5).log_softmax(-1)
    expected = -3 * (similar * strong).sum(-1).mean()
    assert rival.losses(made)["alignment"].item() == pytest.approx(expected.item())


def replaced(made: Step, labels: torch.Tensor, features: torch.Tensor) -> Step:
    return Step(**{**vars(made), "labels": labels, "features": features})


def test_daso_gives_nothing_to_a_class_that_it_has_not_seen(params):
    rival = make(params, "daso")
    rival.seen, rival.queue[0, 0] = torch.tensor([1, 0]), torch.tensor([-1.0, 0.0])
    # cosines 0 to class 0, whose prototype looks the other way, and -1 to class 1, over 0.5
    assert rival.similarities(torch.tensor([[0.0, 1.0]])).tolist() == [[0.0, -2.0]]


def test_daso_waits_until_it_blends(params):
    rival = make(params, "daso")
    rival.begin = 1
    seen = weak([[0.9, 0.1]])
    assert rival.targets(seen).probabilities[0].tolist() == pytest.approx([0.9, 0.1])
    assert rival.losses(step(rival, seen, [[0.5, 0.5]]))["alignment"].item() == 0


def test_finessl_has_margins_and_a_second_classifier(params):
    rival = make(params, "finessl")
    rival.last = torch.tensor([0, 0, 1, -1])  # beta = (1, 0.5): margins 8 * 0.5 * (0, 0.5 / 1.5)
    assert rival.margins().tolist() == pytest.approx([0, 4 / 3])
    made = step(rival, weak([[0.9, 0.1], [0.45, 0.55]], [3, 1]), [[0.5, 0.5], [0.3, 0.7]])
    assert rival.last.tolist() == [0, 0, 1, 0]
    assert made.targets.kept.all() and made.targets.weights.tolist() == pytest.approx([0.9, 0.55])
    losses = rival.losses(made)
    # one labeled picture of class 1: the logit of class 0 gets 4 / 3
    expected = cross_entropy(torch.tensor([[0.4 + 4 / 3, 0.6]]), torch.tensor([1]))
    assert losses["labeled"].item() == pytest.approx(expected.item())
    second = torch.tensor([[math.log(0.3) + 4 / 3, math.log(0.7)]])
    unlabeled = (0.9 * math.log(2) + 0.55 * cross_entropy(second, torch.tensor([1])).item()) / 2
    assert losses["unlabeled"].item() == pytest.approx(unlabeled)
    plain = cross_entropy(torch.tensor([[0.4, 0.6]]), torch.tensor([1]))
    assert losses["second"].item() == pytest.approx(plain.item())
    assert losses["second_unlabeled"].item() == pytest.approx(math.log(2))  # of the first, which alone is sure
    losses["second"].backward()
    assert rival.second.weight.grad is not None and made.of_strong.grad is None


def test_crest_adopts_the_rare_classes_first(params):
    assert adoption_rates(torch.tensor([0.2, 0.7, 0.1]), 0.5).tolist() == pytest.approx(
        [(0.2 / 0.7) ** 0.5, (0.1 / 0.7) ** 0.5, 1]
    )
    rival = make(params, "crest", steps=9)  # rates 0.5 and 1, powers 1, 3/4 and 1/2
    assert [rival.span(n) for n in (0, 2, 3, 8)] == [(0, 3), (0, 3), (3, 6), (6, 9)]
    prior = PriorEstimate((2,), 0)
    prior.observe(torch.tensor([[0.5, 0.5]]), torch.tensor([True]))
    assert rival.read(torch.zeros(1, 2), prior).softmax(-1)[0].tolist() == pytest.approx([0.8, 0.2])
    logits = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.4, 0.6], [0.1, 0.9]]).log()
    rival.renew(logits, torch.tensor([True, True, True, True, False]))
    assert rival.adopted.tolist() == [0, -1, -1, 1, -1]  # half of three, the most confident; all of one; no copy
    wanted = torch.tensor([0.8, 0.2]) ** 0.75
    found = rival.read(torch.zeros(1, 2), prior).softmax(-1)
    assert found[0].tolist() == pytest.approx((wanted / wanted.sum()).tolist())


def test_clip_adapter_mixes_adapted_features_and_the_text_classifies(params):
    text = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    rival = make(params, "clip_adapter", text, scale=10)
    with torch.no_grad():
        rival.down.copy_(torch.eye(2))
        rival.up.copy_(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    # (0.6, 0.8) -> (0.6, 0.8) -> relu (-0.8, 0.6) = (0, 0.6); mixed (0.3, 0.7), of length 0.7616
    logits = rival.logits(torch.tensor([[0.6, 0.8]]))["adapted"]
    assert logits[0].tolist() == pytest.approx([10 * 0.3 / 0.58**0.5, 10 * 0.7 / 0.58**0.5])
    made = Step(
        rival.train_options,
        labels=torch.tensor([1]),
        labeled={},
        features=text,
        of_labeled=torch.tensor([[0.6, 0.8]]),
        prior=PRIOR.log(),
    )
    expected = cross_entropy(logits + PRIOR.log(), torch.tensor([1]))
    assert rival.losses(made)["labeled"].item() == pytest.approx(expected.item())
    assert not rival.trains_linear and rival.decides == "adapted"


def test_the_rival_of_the_docs_is_one(params):
    """Take the class of docs/extend.md as it stands there."""
    page = (ROOT / "docs/extend.md").read_text()
    (code,) = re.findall(r"(?m)^    class Margin\(Rival\):\n(?:    .*\n|\n)+", page)
    names = {"Rival": Rival, "Weak": Weak, "Beginning": Beginning, "Options": SimpleNamespace, "Tensor": torch.Tensor}
    names |= {"PseudoLabels": PseudoLabels, "pseudo_labels": pseudo_labels}
    exec(textwrap.dedent(code), names)  # noqa: S102 (our own page)
    beginning = Beginning(Train(**params["train"]), linear([[1.0, 0.0], [0.0, 1.0]]), None, PRIOR.log(), 4)
    rival = names["Margin"](SimpleNamespace(least=0.5), beginning)
    found = rival.targets(weak([[0.8, 0.2], [0.7, 0.3]]))
    assert found.kept.tolist() == [True, False] and found.weights.tolist() == [1.0, 0.0]
