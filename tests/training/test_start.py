from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ulfine.data.features import Text
from ulfine.data.store import Store
from ulfine.params.method import Scratch
from ulfine.params.train import Train
from ulfine.training.inputs import Inputs
from ulfine.training.scratch import channel_statistics, start_from_scratch
from ulfine.training.start import start_from_text

PLAIN = np.array([[4, 0, 1], [0, 4, 1], [2, 2, 1], [2, 2, 1], [9, 9, 9]], np.float32)
PROTOTYPES = np.array([[1, 1, 0], [1, 0, 1]], np.float32) / 2**0.5
SPLIT = {
    "indices": {"labeled": [0, 1], "unlabeled": [0, 2, 3], "validation": [4]},
    "counts": {"labeled": [1, 1], "unlabeled": [2, 0], "validation": [1, 0]},
}


@pytest.fixture
def inputs() -> Inputs:
    """Five pictures of two classes; the first is in the unlabeled pool as well."""
    images = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
    store = Store({"train": images}, {"train": np.array([0, 1, 0, 0, 0])}, {})
    text = Text(PROTOTYPES, np.array([0.5, 0, 0], np.float32), 1.0, 0.0)
    features = SimpleNamespace(of=lambda _, __, indices: PLAIN[indices], text=lambda _: text)
    return Inputs(store, features, "pooled", SPLIT)


def start(inputs: Inputs, params: dict, **train):
    return start_from_text(inputs, Train(**params["train"] | train))


def test_features_are_centred_by_the_pictures_of_the_split_and_normalised(inputs, params):
    encoder = start(inputs, params).encoder  # the mean of the first four is (2, 2, 1)
    assert encoder(torch.tensor([[5.0, 6.0, 1.0]])).tolist()[0] == pytest.approx([0.6, 0.8, 0])
    plain = start(inputs, params, center=False).encoder
    assert plain(torch.tensor([[0.0, 4.0, 3.0]])).tolist()[0] == pytest.approx([0, 0.8, 0.6])


def test_the_mean_may_be_that_of_the_labeled_pictures_or_move(inputs, params):
    other = Inputs(inputs.store, inputs.features, "pooled", SPLIT | {"indices": SPLIT["indices"] | {"labeled": [1]}})
    labeled = start(other, params, center="labeled").encoder
    assert labeled.mean.tolist() == PLAIN[1].tolist() and labeled.decay is None
    moving = start(inputs, params, center=0.9).encoder
    assert moving.mean.tolist() == start(inputs, params).encoder.mean.tolist() and moving.decay == 0.9
    for center in ("labeled", 0.9):
        torch.testing.assert_close(start(inputs, params, center=center).text, start(inputs, params).text)


def test_text_is_centred_by_its_own_mean(inputs, params):
    expected = torch.tensor(PROTOTYPES) - torch.tensor([0.5, 0, 0])
    torch.testing.assert_close(start(inputs, params).text, nn.functional.normalize(expected, dim=-1))
    torch.testing.assert_close(start(inputs, params, center=False).text, torch.tensor(PROTOTYPES))


def test_the_linear_classifier_starts_as_asked(inputs, params):
    by_text = start(inputs, params)
    assert by_text.linear.weight.tolist() == by_text.text.tolist()
    by_means = start(inputs, params, classifier_init="means").linear.weight
    torch.testing.assert_close(by_means.detach(), torch.tensor([[1, -1, 0], [-1, 1, 0]]) / 2**0.5)
    at_random = start(inputs, params, classifier_init="random").linear.weight
    assert at_random.norm(dim=1).tolist() == pytest.approx([1, 1]) and not torch.equal(at_random, by_text.text)


def test_from_scratch_nothing_of_a_backbone_is_read(inputs, params):
    bare = Inputs(inputs.store, None, None, SPLIT)
    found = start_from_scratch(bare, Scratch(**params["methods"]["scratch"]["scratch"]))
    assert found.text is None and found.linear.weight.shape == (2, 64)


def test_the_statistics_of_channels(inputs):
    mean, std = channel_statistics(inputs.store, np.array([0, 3]))
    chosen = inputs.store.images["train"][[0, 3]].reshape(-1, 3) / 255
    assert mean.tolist() == pytest.approx(chosen.mean(0).tolist())
    assert std.tolist() == pytest.approx(chosen.std(0).tolist(), rel=1e-5)


def test_a_channel_that_is_the_same_everywhere_is_divided_by_one(inputs):
    inputs.store.images["train"][..., 1] = 77
    mean, std = channel_statistics(inputs.store, np.array([0, 3]))
    assert mean[1].item() == pytest.approx(77 / 255) and std[1] == 1
    assert 0 < std[0] < 1


def test_a_set_without_pictures_is_not_evaluated_and_refused_to_who_needs_it(inputs):
    inputs.store.labels["test"] = np.array([0])
    assert list(inputs.evaluated()) == ["test", "validation"]
    inputs.require_validation()
    inputs.split["indices"] = SPLIT["indices"] | {"validation": []}
    without = Inputs(inputs.store, inputs.features, inputs.space, inputs.split)
    assert list(without.evaluated()) == ["test"]
    with pytest.raises(ValueError, match="the split holds out no validation pictures, which a sweep needs; hold some"):
        without.require_validation()


def test_the_pool_leaves_copies_out(inputs):
    assert inputs.pictures.tolist() == [0, 1, 2, 3]
    assert inputs.pool.tolist() == [2, 3]
    assert inputs.pool_share.tolist() == [1.0, 0.0]


def test_the_share_of_a_pool_with_unknown_labels_is_unknown(inputs):
    inputs.store.labels["train"][3] = -1
    assert inputs.pool_share is None
