import pytest
import torch

from ulfine.methods.dlf import aligned, fused, require_decides
from ulfine.params.method import Dlf

TEXT = torch.tensor([[0.0, 1.0, 4.0]])
LINEAR = torch.tensor([[10.0, -10.0, 0.0]])


def test_range_alignment_by_hand():
    # text spans 0..4, linear -10..10: 1 lies at a quarter of the way
    assert aligned(TEXT, LINEAR, "range").tolist() == [[-10.0, -5.0, 10.0]]


def test_std_alignment_gives_the_mean_and_deviation_of_the_linear_logits():
    found = aligned(TEXT, LINEAR, "std")
    assert found.mean().item() == pytest.approx(0, abs=1e-6)
    assert found.std(correction=0).item() == pytest.approx((200 / 3) ** 0.5)
    # (4 - 5/3) / sqrt(26)/3 * sqrt(200/3)
    assert found[0, 2].item() == pytest.approx((7 / 3) / (26**0.5 / 3) * (200 / 3) ** 0.5)


def test_no_alignment_leaves_the_text_alone():
    assert aligned(TEXT, LINEAR, "none") is TEXT


@pytest.mark.parametrize("how", ["range", "std"])
def test_alignment_undoes_any_scale_and_offset_of_a_sample(how):
    text, linear = torch.randn(5, 7), torch.randn(5, 7)
    scale, offset = torch.rand(5, 1) * 100 + 0.1, torch.randn(5, 1) * 50
    torch.testing.assert_close(
        aligned(text * scale + offset, linear, how), aligned(text, linear, how), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("how", ["range", "std"])
def test_equal_text_logits_stay_finite(how):
    assert aligned(torch.ones(1, 3), LINEAR, how).isfinite().all()


def test_fusion_by_hand():
    assert fused(TEXT, LINEAR, 0.25, "range").tolist() == [[5.0, -8.75, 2.5]]
    assert fused(TEXT, LINEAR, 0.0, "range").tolist() == LINEAR.tolist()
    assert fused(TEXT, LINEAR, 1.0, "none").tolist() == TEXT.tolist()


@pytest.mark.parametrize("how", ["range", "std"])
def test_with_two_classes_alignment_leaves_nothing_to_fuse(how):
    random = torch.Generator().manual_seed(0)
    text, linear = (torch.randn(200, 2, generator=random, dtype=torch.float64) for _ in range(2))
    both = text.argmax(1) == linear.argmax(1)
    found = fused(text, linear, 0.5, how)
    torch.testing.assert_close(found[both], linear[both])
    torch.testing.assert_close(found[~both, 0], found[~both, 1])  # a tie
    dlf = Dlf(eta=0.5, align=how, use_in=["test"])
    with pytest.raises(ValueError, match=rf"dlf\.align = '{how}': with two classes .* \(allowed: none\)"):
        require_decides(2, dlf)
    for classes, options in ((3, dlf), (2, None), (2, Dlf(eta=0.5, align="none", use_in=["test"]))):
        require_decides(classes, options)
