"""ESCF: shapes, what SFM and CFM mix, the reductions, and the ablations."""

import pytest
import torch
import torch.nn.functional as F

from errseg.modeling.err_seg.escf import CFM, CSR, ESCF, SFM

B, K, C, H, W = 2, 3, 16, 6, 4


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_sfm_keeps_classes_apart_and_mixes_locations():
    sfm, x, image, text = SFM(C, 4).eval(), rand(B, K, H, W, C), rand(B, H, W, C), rand(B, K, C)
    out = sfm(x, image, text)
    changed = x.clone()
    changed[0, 1, 0, 0, :3] += 1
    difference = (sfm(changed, image, text) - out).abs().amax(-1)
    assert difference[0, 1].min() > 0  # every location of that class
    assert difference[0, [0, 2]].max() == 0 and difference[1].max() == 0


def test_cfm_keeps_locations_apart_and_mixes_classes():
    cfm, x, image, text = CFM(C, 4).eval(), rand(B, K, H, W, C), rand(B, H, W, C), rand(B, K, C)
    out = cfm(x, image, text)
    changed = x.clone()
    changed[0, 1, 2, 3, :3] += 1
    difference = (cfm(changed, image, text) - out).abs().amax(-1)
    assert difference[0, :, 2, 3].min() > 0  # every class of that location
    difference[0, :, 2, 3] = 0
    assert difference.max() == 0


def test_order_of_the_classes_does_not_matter():
    escf = ESCF((8, 8), 12, C, 4, 2).eval()
    x, maps, text = rand(B, K, H, W, C), [rand(B, 8, H // 2, W // 2), rand(B, 8, H, W)], rand(B, K, 12)
    order = [2, 0, 1]
    torch.testing.assert_close(
        escf(x, maps, text)[:, order], escf(x[:, order], maps, text[:, order]), atol=1e-5, rtol=1e-4
    )


def test_csr_pools_fuses_resizes_and_adds_the_input():
    cfm, x, text = CFM(C, 4).eval(), rand(B, K, H, W, C), rand(B, K, C)
    maps = x.flatten(0, 1).permute(0, 3, 1, 2)
    pooled = F.avg_pool2d(maps, 2).permute(0, 2, 3, 1).unflatten(0, (B, K))
    fused = cfm(pooled, None, text).flatten(0, 1).permute(0, 3, 1, 2)
    expected = maps + F.interpolate(fused, (H, W), mode="bilinear", align_corners=True)
    expected = expected.permute(0, 2, 3, 1).unflatten(0, (B, K))
    torch.testing.assert_close(CSR(cfm, 2)(x, None, text), expected)


@pytest.mark.parametrize("height", [6, 7])
@pytest.mark.parametrize("ratio", [1, 2, 3])
def test_reductions_of_any_ratio_and_odd_sizes(ratio, height):
    escf = ESCF((8,), 12, C, 4, 1, ssr_ratio=ratio, csr_ratio=ratio)
    x = rand(B, K, height, 5, C)
    assert escf(x, [rand(B, 8, height, 5)], rand(B, K, 12)).shape == x.shape


def test_escf_of_one_kind():
    x, maps, text = rand(B, K, H, W, C), [rand(B, 8, H, W)], rand(B, K, 12)
    for kinds, number in ((dict(sfm=False), 2), (dict(cfm=False), 2), (dict(), 4)):
        escf = ESCF((8,), 12, C, 4, 2, **kinds)
        assert len(escf.layers) == number and escf(x, maps, text).shape == x.shape
    with pytest.raises(ValueError, match="both False"):
        ESCF((8,), 12, C, sfm=False, cfm=False)


def test_drop_path_grows_with_the_layer():
    rates = [module.drop_prob for module in ESCF((8,), 12, C).modules() if type(module).__name__ == "DropPath"]
    assert rates == pytest.approx([0, 0, 0.025, 0.025, 0.05, 0.05, 0.075, 0.075])
