"""The attention that is shown is the attention that the model computes."""

import pytest
import torch

from errseg.modeling import layers
from errseg.modeling.err_seg.attention import attention_weights, class_weights, spatial_weights, token_weights
from errseg.modeling.err_seg.escf import CFM, SFM
from errseg.modeling.err_seg.layers import Attention
from errseg.modeling.err_seg.panels import attention
from errseg.modeling.guidance import guidance_share
from errseg.modeling.panels import Request
from errseg.modeling.taps import watch

K, C, H, W = 3, 32, 6, 4


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def wide_awake(module):
    """Weights so large that attention is far from uniform."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.4, generator=torch.Generator().manual_seed(parameter.numel()))
    return module.eval()


def attended(attention, weights, v):
    """(N, heads, L, M), (N, M, C) -> what the attention gives: (N, L, C)."""
    v = v.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
    return attention.proj((weights @ v).transpose(1, 2).flatten(2))


def outputs_of(module, run):
    """What a module gives while ``run()`` calls it, in parts or at once."""
    outputs = []
    handle = module.register_forward_hook(lambda _, arguments, output: outputs.append(output))
    run()
    handle.remove()
    return torch.cat(outputs)


@pytest.mark.parametrize("ratio", [1, 2, 3])
@torch.no_grad()
def test_spatial_attention_gives_what_sfm_computes(ratio, monkeypatch):
    monkeypatch.setattr(layers, "CACHED", 2 * C)  # the model goes through its sequences one by one
    sfm = wide_awake(SFM(C, 4, ratio))
    x, guidance = rand(1, K, H, W, C), rand(1, H, W, C)
    weights, reduction = spatial_weights(sfm, x[0], guidance, None)
    assert reduction == ratio and weights.shape == (K, 4, H * W, H // ratio, W // ratio)
    weights = weights.flatten(3)
    torch.testing.assert_close(weights.sum(-1), torch.ones(K, 4, H * W))
    assert weights.amax(-1).mean() > 1.5 / weights.shape[-1]  # not uniform, which would hide mistakes
    ours = attended(sfm.attention, weights, sfm.reduce_v(sfm.attention.v, sfm.norm1(x[0])))
    theirs = outputs_of(sfm.attention, lambda: sfm(x, guidance, None))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    # And the rest of the block on top of it
    y = x[0] + ours.view(K, H, W, C)
    y = y + sfm.dwconv(sfm.mlp(sfm.norm2(y)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(y, sfm(x, guidance, None)[0], atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_one_location_sees_what_it_sees_among_all():
    sfm, x, guidance = wide_awake(SFM(C, 4)), rand(K, H, W, C), rand(1, H, W, C)
    one, _ = spatial_weights(sfm, x, guidance, 7)
    every, _ = spatial_weights(sfm, x, guidance, None)
    torch.testing.assert_close(one, every[:, :, 7])


@torch.no_grad()
def test_class_attention_gives_what_cfm_computes(monkeypatch):
    monkeypatch.setattr(layers, "CACHED", 2 * K * C)
    cfm = wide_awake(CFM(C, 4))
    x, guidance = rand(1, K, H, W, C), rand(1, K, C)
    tokens = x[0].flatten(1, 2).transpose(0, 1)
    shares = [guidance_share(layer, guidance).unsqueeze(1) for layer in (cfm.attention.q, cfm.attention.k)]
    weights = token_weights(cfm, tokens, *shares)
    torch.testing.assert_close(weights.sum(-1), torch.ones(H * W, 4, K))
    ours = attended(cfm.attention, weights, cfm.attention.v(cfm.norm1(tokens)))
    torch.testing.assert_close(ours, outputs_of(cfm.attention, lambda: cfm(x, None, guidance)), atol=1e-5, rtol=1e-5)
    for block in (1 << 24, 5 * 4 * K * K):  # at once, and five locations at a time
        monkeypatch.setattr("errseg.modeling.err_seg.attention.BLOCK", block)
        mean, at_point = class_weights(cfm, x, guidance, 11)
        torch.testing.assert_close(mean, weights.mean(0))
        torch.testing.assert_close(at_point, weights[11])


def test_weights_are_a_softmax_of_scaled_products():
    module = Attention(8, 16, 2)
    q, k = rand(1, 3, 8), rand(1, 5, 8)
    logits = (q[0, 1, 4:] * k[0, :, 4:]).sum(-1) / 4**0.5
    torch.testing.assert_close(attention_weights(module, q, k)[0, 1, 1], logits.softmax(0))


@pytest.mark.parametrize("num_kept", [3, 8])
@torch.no_grad()
def test_the_layers_see_what_they_see_in_the_model(num_kept, build, make_batch):
    """Computed after a run of the head that ends at the layer, the attention is that of the model's own calls."""
    model = build()
    wide_awake(model.sem_seg_head.escf)
    images, text = model.preprocess(make_batch(1)[0]["image"], (64, 64)), model.text_embeddings
    with watch(model, ["encoder", "sfm1", "sfm2", "kept"]) as seen:
        model.segment(images, text, num_kept)
    with watch(model, ["sfm1", "sfm2", "gud"]) as again:
        found = attention(model, seen, Request(text, num_kept, 1, tuple(range(8)), (0.9, 0.1), (64, 64)))
        assert again.keys() == {"sfm1"}  # neither a later layer nor the decoder runs
        found = attention(model, seen, Request(text, num_kept, 2, tuple(range(8)), (0.9, 0.1), (64, 64)))
    x, guidance, _ = seen["sfm2"][0]
    every, _ = spatial_weights(model.sem_seg_head.escf.layers[2], x[0], guidance, None)
    assert found.kept.tolist() == found.spatial.names.tolist() == seen["kept"][0][0].tolist()
    assert len(found.kept) == num_kept and found.spatial.grid == (4, 4)
    torch.testing.assert_close(found.spatial.weights, every[:, :, 0 * 4 + 3])
    assert found.classes.mean.shape == found.classes.at_place.shape == (4, num_kept, num_kept)
    torch.testing.assert_close(found.classes.at_place.sum(-1), torch.ones(4, num_kept))
