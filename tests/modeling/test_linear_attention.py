"""Linear attention is the formula, and its sums may be made in parts."""

import pytest
import torch

from errseg.modeling.linear_attention import attend_sums, key_value_sums, linear_attention, linear_attention_of_rows


def test_it_is_the_formula_and_the_sums_of_parts_add_up():
    q, k, v = torch.randn(3, 2, 4, 7, 5, generator=torch.Generator().manual_seed(0)).unbind()
    q = q[..., :6, :]
    weights = ((torch.where(q > 0, q, q.exp() - 1) + 1) @ (torch.where(k > 0, k, k.exp() - 1) + 1).mT).double()
    expected = (weights / (weights.sum(-1, keepdim=True) + 1e-6)) @ v.double()
    torch.testing.assert_close(linear_attention(q, k, v).double(), expected, atol=1e-6, rtol=1e-5)
    parts = [key_value_sums(k[..., part, :], v[..., part, :]) for part in (slice(0, 3), slice(3, 7))]
    values, keys = (sum(sums) for sums in zip(*parts, strict=True))
    torch.testing.assert_close(attend_sums(q, values, keys), linear_attention(q, k, v))


@pytest.mark.parametrize("width", [4, 40], ids=["narrow heads", "wide heads"])
def test_rows_are_attended_to_as_heads_are(width):
    qkv = torch.randn(3, 7, 3 * 2 * width, generator=torch.Generator().manual_seed(0))
    q, k, v = qkv.unflatten(-1, (3, 2, width)).permute(2, 0, 3, 1, 4)
    expected = linear_attention(q, k, v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(linear_attention_of_rows(qkv.clone(), 2), expected, atol=1e-6, rtol=1e-5)
