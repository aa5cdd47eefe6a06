"""Patch severance: what a token sees in each mode."""

import pytest
import torch
from torch import nn

from errseg.errors import UsageError
from errseg.modeling.deop.severance import MODES, Guided, Masked, Plain, SelfAttention, attentions, regions_of

HEADS, WIDTH, TOKENS, MASKS = 2, 8, 7, 5


@pytest.fixture
def attention():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True).eval()
    nn.init.normal_(attention.in_proj_bias)
    nn.init.normal_(attention.out_proj.bias)
    return attention.requires_grad_(False)


@pytest.fixture
def tokens():
    return torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def regions():
    regions = torch.rand(2, TOKENS, MASKS, generator=torch.Generator().manual_seed(2))
    regions[:, 0] = 1
    return regions


def test_regions_resize_logits_and_put_the_class_token_into_every_mask():
    logits = torch.tensor([[[[-8.0, 8.0]]]])  # one mask of two cells
    at_tokens = regions_of(logits, (1, 1))
    torch.testing.assert_close(at_tokens, torch.tensor([[[1.0], [0.5]]]))  # the mean logit is 0
    assert regions_of(torch.zeros(2, 3, 8, 12), (2, 3)).shape == (2, 7, 3)
    rows = regions_of(torch.tensor([[[[-9.0, 0.0], [9.0, 0.0]]]]), (2, 2))[0, 1:, 0]  # row by row
    torch.testing.assert_close(rows, torch.tensor([-9.0, 0.0, 9.0, 0.0]).sigmoid())


def test_none_is_the_tower_s_own_attention(attention, tokens, regions):
    theirs = attention(tokens, tokens, tokens, need_weights=False)[0]
    torch.testing.assert_close(SelfAttention()(attention, tokens, regions), theirs)


def test_masked_sums_the_masks_at_each_token(attention, tokens, regions):
    weight, bias = attention.in_proj_weight[2 * WIDTH :], attention.in_proj_bias[2 * WIDTH :]
    wanted = torch.zeros_like(tokens)
    for mask in range(MASKS):
        wanted += regions[:, :, mask, None] * (tokens @ weight.T + bias)
    torch.testing.assert_close(Masked()(attention, tokens, regions), attention.out_proj(wanted))


def test_plain_is_masked_with_one_whole_mask(attention, tokens, regions):
    whole = torch.ones(2, TOKENS, 1)
    torch.testing.assert_close(Plain()(attention, tokens, regions), Masked()(attention, tokens, whole))


def test_guided_attends_within_masks_with_the_same_weights_in_all_heads(attention, tokens, regions):
    weight, bias = attention.in_proj_weight[2 * WIDTH :], attention.in_proj_bias[2 * WIDTH :]
    values, wanted = tokens @ weight.T + bias, torch.zeros_like(tokens)
    for image in range(2):
        for i in range(TOKENS):
            weights = torch.stack([regions[image, i] @ regions[image, j] for j in range(TOKENS)]).softmax(0)
            wanted[image, i] = weights @ values[image]
    torch.testing.assert_close(Guided()(attention, tokens, regions), attention.out_proj(wanted))


@pytest.mark.parametrize("mode", [name for name, kind in MODES.items() if kind.pointwise])
def test_a_pointwise_mode_keeps_tokens_apart(mode, attention, tokens, regions):
    changed = tokens.clone()
    changed[:, 3] += 1
    before, after = (MODES[mode]()(attention, x, regions) for x in (tokens, changed))
    others = [i for i in range(TOKENS) if i != 3]
    torch.testing.assert_close(after[:, others], before[:, others])
    assert not torch.allclose(after[:, 3], before[:, 3])
    assert not MODES["guided"].pointwise and not MODES["none"].pointwise


def test_blocks_are_severed_by_their_number():
    kinds = [type(each) for each in attentions("guided", [1, 3], 4)]
    assert kinds == [SelfAttention, Guided, SelfAttention, Guided]
    with pytest.raises(UsageError, match=r"mode = 'soft'; give one of masked, plain, guided, none"):
        attentions("soft", [1], 4)
    with pytest.raises(UsageError, match=r"blocks = \[1, 4\]: the image tower has the blocks 0 to 3"):
        attentions("masked", [1, 4], 4)


def test_guided_weights_are_float32_under_autocast(attention, tokens):
    """Products of 100 masks differ by less than bfloat16 resolves."""
    many = 0.9 + 0.1 * torch.rand(2, TOKENS, 100, generator=torch.Generator().manual_seed(3))
    wanted = Guided()(attention, tokens, many)
    with torch.autocast("cpu", torch.bfloat16):
        found = Guided()(attention, tokens, many)
    assert (found - wanted).abs().max() < 0.02 * wanted.abs().max()
