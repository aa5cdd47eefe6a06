"""HSM, ESCF and GUD: shapes, what each looks at, and the ablations' meanings."""

import pytest
import torch
import torch.nn.functional as F

from errseg.modeling.err_seg.escf import CFM, CSR, ESCF, SFM
from errseg.modeling.err_seg.gud import GUD, HeadOnly
from errseg.modeling.err_seg.hsm import HSM, SingleScale
from errseg.modeling.err_seg.layers import MLP, Attention, StarMLP
from errseg.modeling.layers import resize

B, K, C, H, W = 2, 3, 16, 6, 4


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_hsm_treats_every_class_alone():
    hsm, cost16, cost32 = HSM(C), rand(B, K, H, W), rand(B, K, H // 2, W // 2)
    x = hsm(cost16, cost32, (H, W))
    assert x.shape == (B, K, H, W, C)
    one = hsm(cost16[1:, 2:], cost32[1:, 2:], (H, W))
    torch.testing.assert_close(x[1:, 2:], one)
    assert SingleScale(C)(cost32, (H, W)).shape == x.shape


def test_star_operation():
    mlp, x = StarMLP(C, 3 * C), rand(5, C)
    torch.testing.assert_close(mlp(x), mlp.fc3(mlp.fc1(x).clamp(0, 6) * mlp.fc2(x)))
    assert MLP(C, 3 * C)(x).shape == x.shape


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


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="num_heads = 5"):
        Attention(16, 32, 5)


def test_gud_upsamples_four_times_under_guidance():
    maps = [rand(B, 10, H, W), rand(B, 8, 2 * H, 2 * W), rand(B, 6, 4 * H, 4 * W)]
    x = rand(B, K, H, W, 32)
    for options in (dict(), dict(guidance_os16=False), dict(kernel_size=5)):
        assert GUD(32, (10, 8, 6), **options)(x, maps).shape == (B, K, 4 * H, 4 * W)
    assert HeadOnly(32)(x, maps).shape == (B, K, H, W)
    gud = GUD(32, (10, 8, 6)).eval()
    changed = [m.clone() for m in maps]
    changed[2][0] += 1
    difference = (gud(x, changed) - gud(x, maps)).abs()
    assert difference[0].max() > 0 and difference[1].max() == 0


@pytest.mark.parametrize("stop", [True, False])
def test_guidance_trains_the_encoder_only_without_stop_gradient(stop):
    maps = [rand(B, 10, H, W), rand(B, 8, 2 * H, 2 * W), rand(B, 6, 4 * H, 4 * W)]
    for m in maps:
        m.requires_grad_()
    GUD(32, (10, 8, 6), stop_gradient=stop)(rand(B, K, H, W, 32), maps).sum().backward()
    assert all((m.grad is None) == stop for m in maps)


def test_even_kernel_is_an_error():
    with pytest.raises(ValueError, match="kernel_size = 4"):
        GUD(32, (10, 8, 6), kernel_size=4)


def test_resize_leaves_the_right_size_alone():
    x = rand(1, 1, 3, 3)
    assert resize(x, (3, 3)) is x and resize(x, (5, 7)).shape == (1, 1, 5, 7)
