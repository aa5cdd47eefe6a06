"""Classification anchors and heatmap pooling."""

import pytest
import torch
import torch.nn.functional as F

from errseg.errors import UsageError
from errseg.modeling.deop.anchors import AnchorDecoder, Heatmaps, OutLayer, UnmaskedLayer, unit
from errseg.modeling.deop.transformer import DecoderLayer

DENSE = F.normalize(torch.randn(2, 16, 3, 4, generator=torch.Generator().manual_seed(0)), dim=1)
MASKS = torch.randn(2, 5, 12, 16, generator=torch.Generator().manual_seed(1)) * 4


def decoder(**arguments):
    torch.manual_seed(0)
    return AnchorDecoder(16, num_anchors=5, num_heads=2, hidden=8, **arguments)


def test_heatmaps_are_masked_after_the_softmax():
    torch.manual_seed(0)
    heatmaps = Heatmaps(8, num_heads=2).eval()
    queries, keys, masks = torch.randn(2, 5, 8), torch.randn(2, 6, 8), torch.rand(2, 5, 6)
    torch.testing.assert_close(heatmaps(queries, keys, torch.ones(2, 5, 6)).sum(-1), torch.ones(2, 2, 5))
    free, masked = heatmaps(queries, keys, torch.ones(2, 5, 6)), heatmaps(queries, keys, masks)
    torch.testing.assert_close(masked, free * masks[:, None])
    q = queries @ heatmaps.in_proj_weight[:8].T + heatmaps.in_proj_bias[:8]
    k = keys @ heatmaps.in_proj_weight[8:16].T + heatmaps.in_proj_bias[8:16]
    wanted = (q[..., 4:] / 2 @ k[..., 4:].mT).softmax(-1)  # the second head
    torch.testing.assert_close(free[:, 1], wanted)


def test_each_head_pools_its_own_channels():
    torch.manual_seed(0)
    layer = OutLayer(8, num_heads=2).eval()
    z, anchors, keys, dense = torch.randn(2, 5, 8), torch.randn(1, 5, 8), torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    masks, seen = torch.rand(2, 5, 6), []
    layer.heatmaps.register_forward_hook(lambda module, arguments, output: seen.append(output))
    pooled = layer(z, anchors, keys, dense, masks)
    wanted = torch.cat([seen[0][:, 0] @ dense[..., :4], seen[0][:, 1] @ dense[..., 4:]], dim=-1)
    torch.testing.assert_close(pooled, F.normalize(wanted, dim=-1))


def test_an_empty_mask_gives_zeros_and_no_nan():
    pooled = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    torch.testing.assert_close(unit(pooled), torch.tensor([[[0.6, 0.8], [0.0, 0.0]]]))


@pytest.mark.parametrize(("layers", "masked"), [(0, False), (1, False), (2, True)])
def test_shapes_gradients_and_batches(layers, masked):
    ours = decoder(num_layers=layers, masked=masked)
    assert all(type(layer) is (DecoderLayer if masked else UnmaskedLayer) for layer in ours.layers)
    regions = ours(DENSE, MASKS)
    assert regions.shape == (2, 5, 16)
    torch.testing.assert_close(regions.norm(dim=-1), torch.ones(2, 5))
    regions[..., 0].sum().backward()
    without = {name for name, p in ours.named_parameters() if p.grad is None}
    assert without == {"norm.weight", "norm.bias"}
    assert {id(p) for p in ours.without_effect()} == {id(p) for p in ours.norm.parameters()}
    with torch.no_grad():
        ours.eval()
        torch.testing.assert_close(ours(DENSE[:1], MASKS[:1]), ours(DENSE, MASKS)[:1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_masks_in_the_layers_make_a_difference():
    plain, masked = decoder(num_layers=1).eval(), decoder(num_layers=1, masked=True).eval()
    assert not torch.allclose(plain(DENSE, MASKS), masked(DENSE, MASKS), atol=1e-4)


@torch.no_grad()
def test_masks_become_probabilities_before_they_are_resized():
    ours, seen = decoder().eval(), []
    ours.outlayer.register_forward_hook(lambda module, arguments, output: seen.append(arguments[4]))
    ours(DENSE, MASKS)
    wanted = F.interpolate(MASKS.sigmoid(), size=(3, 4), mode="bilinear").flatten(2)
    torch.testing.assert_close(seen[0], wanted)


def test_a_dimension_that_does_not_fit():
    with pytest.raises(UsageError, match="a dimension of 18; it needs a multiple of 8 and 4"):
        AnchorDecoder(18)
