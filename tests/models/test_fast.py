import copy

import open_clip
import pytest
import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import nn

from ulfine.models.fast import QuickGELU, SelfAttention, make_fast


def with_gradient(function, x):
    x = x.clone().requires_grad_()
    y = function(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return y.detach(), x.grad


def test_quick_gelu_is_open_clips():
    x = torch.linspace(-8, 8, 1001)
    torch.testing.assert_close(with_gradient(QuickGELU(), x), with_gradient(open_clip.transformer.QuickGELU(), x))


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_torchs(masked):
    torch.manual_seed(0)
    slow = nn.MultiheadAttention(24, 3, batch_first=True)
    nn.init.normal_(slow.in_proj_bias)
    mask = torch.full((5, 5), -torch.inf).triu(1) if masked else None
    fast, x = SelfAttention(slow), torch.randn(2, 5, 24)
    found, expected = (
        with_gradient(lambda x, layer=layer: layer(x, x, x, attn_mask=mask, need_weights=False)[0], x)
        for layer in (fast, slow)
    )
    torch.testing.assert_close(found, expected)
    assert list(dict(fast.named_parameters())) == list(dict(slow.named_parameters()))
    with pytest.raises(ValueError, match="of one input with itself"):
        fast(x, x.clone(), x, attn_mask=None, need_weights=False)


def test_a_tower_of_open_clip_gets_the_fast_parts_under_the_same_names():
    torch.manual_seed(0)
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 2, "head_width": 16}
    slow = open_clip.model._build_vision_tower(8, vision, quick_gelu=True).eval()
    fast = copy.deepcopy(slow)
    make_fast(fast)
    kinds = [type(module) for module in fast.modules()]
    assert kinds.count(SelfAttention) == kinds.count(QuickGELU) == kinds.count(ResidualAttentionBlock) == 2
    assert nn.MultiheadAttention not in kinds and open_clip.transformer.QuickGELU not in kinds
    assert list(fast.state_dict()) == list(slow.state_dict())
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(fast(images), slow(images))
