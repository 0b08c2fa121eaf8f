import pytest
import torch
import torch.nn.functional as F

from ulfine.methods.paf import (
    PrototypeFitting,
    ema,
    mixed,
    mixing_weights,
    orthogonality,
    projected,
    spread,
    updated_visual,
)
from ulfine.params.method import Paf

TEXT = torch.eye(3)


def options(**changes) -> Paf:
    base = {"prototypes": "buffer", "mu": 0.5, "update_every": 1, "anchor": "running", "orthogonality": 0.0}
    return Paf(**(base | {"visual_decay": 0.5, "orthogonality_by": "loss"} | changes))


def test_ema_by_hand():
    assert ema(torch.tensor(4.0), torch.tensor(8.0), 0.75).item() == 5.0


def test_classes_predicted_most_move_most():
    assert mixing_weights(torch.tensor([0.5, 0.4, 0.1]), mu=0.2).tolist() == pytest.approx([0.2, 0.16, 0.04])


def test_mixing_by_hand():
    base, visual = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 5.0]])  # the length of a visual prototype is nothing
    found = mixed(base, visual, torch.tensor([0.25]))
    assert found.tolist()[0] == pytest.approx([3 / 10**0.5, 1 / 10**0.5])


def test_a_learned_prototype_that_grew_moves_as_far_as_one_of_unit_length():
    grown, visual = torch.tensor([[7.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    found = mixed(grown, visual, torch.tensor([0.25]))
    assert found.tolist()[0] == pytest.approx([3 / 10**0.5, 1 / 10**0.5])


def test_visual_prototypes_start_at_the_first_mean_and_then_average():
    visual, seen = torch.zeros(3, 2), torch.zeros(3, dtype=torch.bool)
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    visual, seen = updated_visual(visual, seen, first, torch.tensor([0, 0]), decay=0.9)
    assert seen.tolist() == [True, False, False]
    assert visual[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    second = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    visual, seen = updated_visual(visual, seen, second, torch.tensor([0, 2]), decay=0.9)
    assert seen.tolist() == [True, False, True]
    assert visual[0].tolist() == pytest.approx([0.9 * 0.5**0.5 + 0.1, 0.9 * 0.5**0.5])
    assert visual[2].tolist() == [0.0, 1.0]  # no trace of the zeros before
    assert visual[1].tolist() == [0.0, 0.0]


PRIOR = torch.tensor([0.5, 0.5, 0.0])


def observed(fitting: PrototypeFitting) -> PrototypeFitting:
    """Make PAF that has seen the first two classes, at right angles to their text."""
    fitting.observe(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([0, 1]))
    return fitting


@pytest.mark.parametrize("anchor", ["running", "initial"])
def test_a_class_that_no_batch_has_shown_stays_as_it_was(anchor):
    fitting = observed(PrototypeFitting(TEXT, options(anchor=anchor)))
    prototypes = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])  # the third has been learning
    found = fitting.fit(prototypes, PRIOR)
    assert found[2].tolist() == prototypes[2].tolist()
    assert found[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0.0])
    assert fitting.text_share.tolist() == pytest.approx([0.5, 0.5, 1.0])


def test_without_an_anchor_the_text_is_forgotten_geometrically():
    fitting = observed(PrototypeFitting(TEXT, options()))
    prototypes = TEXT
    for _ in range(5):
        prototypes = fitting.fit(prototypes, PRIOR)
    assert fitting.text_share.tolist() == pytest.approx([0.5**5, 0.5**5, 1.0])
    assert F.cosine_similarity(prototypes[0], TEXT[0], dim=0) < 0.05


def test_the_frozen_text_as_anchor_keeps_its_share():
    fitting = observed(PrototypeFitting(TEXT, options(anchor="initial")))
    prototypes = TEXT
    for _ in range(5):
        prototypes = fitting.fit(prototypes, PRIOR)
    assert fitting.text_share.tolist() == pytest.approx([0.5, 0.5, 1.0])
    assert prototypes[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0.0])


def test_orthogonality_is_the_mean_squared_cosine_of_different_prototypes():
    assert orthogonality(torch.eye(4)).item() == 0
    half = torch.tensor([[2.0, 0.0], [0.5, 0.5 * 3**0.5]])  # 60 degrees apart, whatever their lengths
    assert orthogonality(half).item() == pytest.approx(0.25)
    three = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # one pair of three coincides
    assert orthogonality(three).item() == pytest.approx(1 / 3)


def test_spreading_buffers_lowers_the_orthogonality_term():
    close = F.normalize(torch.tensor([[1.0, 0.1, 0.0], [1.0, 0.0, 0.1], [1.0, 0.1, 0.1]]), dim=-1)
    moved = spread(close, size=0.1)
    assert orthogonality(moved) < orthogonality(close)
    assert moved.norm(dim=-1).tolist() == pytest.approx([1, 1, 1])


def test_buffers_are_spread_after_a_fit_and_learnable_ones_left_to_their_loss():
    text = F.normalize(torch.tensor([[1.0, 0.2, 0.0], [1.0, 0.0, 0.2], [0.0, 0.0, 1.0]]), dim=-1)
    found = {
        kind: observed(PrototypeFitting(text, options(prototypes=kind, orthogonality=0.5))).fit(text, PRIOR)
        for kind in ("buffer", "learnable")
    }
    assert orthogonality(found["buffer"]) < orthogonality(found["learnable"])


def test_more_prototypes_than_dimensions_cannot_be_projected():
    with pytest.raises(ValueError, match="4 classes in 3 dimensions cannot be orthogonal"):
        PrototypeFitting(torch.ones(4, 3), options(orthogonality=0.5, orthogonality_by="projection"))


def test_all_that_paf_remembers_is_in_its_state():
    state = observed(PrototypeFitting(TEXT, options())).state_dict()
    assert set(state) == {"text", "visual", "seen", "text_share"}
    fresh = PrototypeFitting(TEXT, options())
    fresh.load_state_dict(state)
    assert fresh.fit(TEXT, PRIOR).tolist() == observed(PrototypeFitting(TEXT, options())).fit(TEXT, PRIOR).tolist()


def test_the_projection_goes_to_the_nearest_orthonormal_rows():
    # 60 degrees apart: the nearest right angle opens both by 15 degrees
    angle = torch.deg2rad(torch.tensor([0.0, 60.0, -15.0, 75.0]))
    rows = torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(projected(3 * rows[:2], 1.0), rows[2:])
    torch.testing.assert_close(projected(3 * rows[:2], 0.0), rows[:2])
    assert orthogonality(projected(rows[:2], 0.5)) < orthogonality(rows[:2])


@pytest.mark.parametrize("kind", ["learnable", "buffer"])
def test_a_projection_acts_on_prototypes_of_either_kind(kind):
    text = F.normalize(torch.tensor([[1.0, 0.2, 0.0], [1.0, 0.0, 0.2], [0.0, 0.0, 1.0]]), dim=-1)
    fitting = PrototypeFitting(text, options(prototypes=kind, orthogonality=1.0, orthogonality_by="projection"))
    assert orthogonality(observed(fitting).fit(text, PRIOR)).item() == pytest.approx(0, abs=1e-10)
