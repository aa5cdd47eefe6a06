"""The transformer decoder: PyTorch's attention on the same weights, literal layers, sine positions, dropout."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from errseg.errors import ArgumentError
from errseg.modeling.deop.transformer import Attention, Decoder, DecoderLayer, Transformer, sine_positions

B, N, M, C, HEADS = 2, 5, 12, 16, 4


def rand(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def randomised(module, seed=0):
    """The module, with biases and norms that are no identities."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        if parameter.dim() == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.5)
    return module


def test_sine_positions():
    positions = sine_positions(3, 2, 8)
    assert positions.shape == (6, 8)
    for row in range(3):
        for column in range(2):
            values = []
            for coordinate, length in ((row + 1, 3), (column + 1, 2)):
                angle = coordinate / (length + 1e-6) * 2 * math.pi
                values += [math.sin(angle), math.cos(angle), math.sin(angle / 100), math.cos(angle / 100)]
            torch.testing.assert_close(positions[2 * row + column], torch.tensor(values), atol=1e-6, rtol=0)


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return randomised(Attention(C, HEADS, dropout=0.1)).eval()


def test_attention_is_pytorchs(attention):
    theirs = nn.MultiheadAttention(C, HEADS, batch_first=True).eval()
    theirs.load_state_dict(attention.state_dict())
    q, k, v = rand(B, N, C), rand(B, M, C), rand(B, M, C) + 1
    expected = theirs(q, k, v, need_weights=False)[0]
    torch.testing.assert_close(attention(q, k, v), expected)
    with torch.no_grad():
        torch.testing.assert_close(attention(q, k, v), expected)


def test_queries_that_all_images_share(attention):
    q, k = rand(1, N, C), rand(B, M, C)
    torch.testing.assert_close(attention(q, k, k), attention(q.repeat(B, 1, 1), k, k))


def test_a_share_multiplies_after_the_softmax(attention):
    q, k = rand(B, N, C), rand(B, M, C)
    torch.testing.assert_close(attention(q, k, k, torch.ones(B, N, M)), attention(q, k, k))
    halved = attention(q, k, k, torch.full((B, N, M), 0.5)) - attention.out_proj.bias
    torch.testing.assert_close(2 * halved + attention.out_proj.bias, attention(q, k, k))
    share = torch.zeros(B, N, M)
    share[:, 0, 3] = 1  # the first query gets a part of the fourth value alone
    changed = k.clone()
    changed[:, 3] += 1
    ours, other = attention(q, k, k, share), attention(q, k, changed, share)
    assert torch.equal(ours[:, 1:], other[:, 1:]) and not torch.allclose(ours[:, 0], other[:, 0])


@pytest.mark.parametrize("share", [None, torch.ones(B, N, M)], ids=["none", "share"])
def test_dropout_of_the_softmax(attention, share):
    attention.train()
    q, k = rand(B, N, C), rand(B, M, C)
    assert not torch.equal(attention(q, k, k, share), attention(q, k, k, share))
    attention.dropout = 0.0
    torch.testing.assert_close(attention(q, k, k, share), attention.eval()(q, k, k))


def literal(layer, z, queries, keys, values):
    """A post-norm layer of PyTorch's parts."""
    for name in ("self_attn", "multihead_attn"):
        theirs = nn.MultiheadAttention(C, HEADS, batch_first=True).eval()
        theirs.load_state_dict(getattr(layer, name).state_dict())
        x = z + queries
        memory = (x, z) if name == "self_attn" else (keys, values)
        norm = layer.norm1 if name == "self_attn" else layer.norm2
        z = norm(z + theirs(x, *memory, need_weights=False)[0])
    return layer.norm3(z + layer.linear2(F.relu(layer.linear1(z))))


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    return randomised(Decoder(C, HEADS, 32, num_layers=3)).eval()


def test_layers_are_the_formula(decoder):
    queries, keys, values = rand(1, N, C), rand(B, M, C), rand(B, M, C) + 1
    z, e = torch.zeros(B, N, C), queries.repeat(B, 1, 1)
    outputs = decoder(queries, keys, values)
    assert len(outputs) == 3
    for layer, output in zip(decoder.layers, outputs, strict=True):
        z = literal(layer, z, e, keys, values)
        torch.testing.assert_close(output, decoder.norm(z), atol=1e-5, rtol=1e-4)


def test_layer_names():
    names = [name for name, _ in DecoderLayer(C, HEADS, 32).named_parameters()]
    attention = ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]
    expected = [f"{part}.{name}" for part in ("self_attn", "multihead_attn") for name in attention]
    parts = ("linear1", "linear2", "norm1", "norm2", "norm3")
    assert names == expected + [f"{part}.{name}" for part in parts for name in ("weight", "bias")]


def test_before_the_first_cross_attention_there_is_one_image(decoder):
    seen = []
    hook = decoder.layers[0].self_attn.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    decoder(rand(1, N, C), rand(B, M, C), rand(B, M, C))
    decoder.train()(rand(1, N, C), rand(B, M, C), rand(B, M, C))  # dropout differs between the images
    hook.remove()
    assert seen == [1, B]


def test_dropout_differs_between_images(decoder):
    memory = rand(1, M, C).expand(B, -1, -1)
    first, second = decoder.train()(rand(1, N, C), memory, memory)[-1]
    assert not torch.allclose(first, second)
    first, second = decoder.eval()(rand(1, N, C), memory, memory)[-1]
    torch.testing.assert_close(first, second)


def test_transformer_adds_positions_to_the_keys_alone():
    torch.manual_seed(0)
    transformer = Transformer(C, HEADS, 32, 2).eval()
    memory, queries = rand(B, C, 3, 4), rand(N, C)
    tokens = memory.flatten(2).mT
    expected = transformer.decoder(queries[None], tokens + sine_positions(3, 4, C), tokens)
    outputs = transformer(memory, queries)
    assert [tuple(output.shape) for output in outputs] == [(B, N, C)] * 2
    torch.testing.assert_close(outputs, expected)


def test_gradients():
    torch.manual_seed(0)
    transformer = randomised(Transformer(C, HEADS, 32, 2))
    queries = rand(N, C).requires_grad_()
    sum((output * rand(B, N, C)).sum() for output in transformer(rand(B, C, 3, 4), queries)).backward()
    grads = {name: parameter.grad for name, parameter in transformer.named_parameters()}
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads.values()) and queries.grad.abs().sum() > 0


def test_initial_values():
    torch.manual_seed(0)
    layer = Transformer(C, HEADS, 64, 1).decoder.layers[0]
    for weight in (layer.self_attn.in_proj_weight, layer.multihead_attn.out_proj.weight, layer.linear1.weight):
        bound = math.sqrt(6 / sum(weight.shape))
        assert 0.95 * bound < weight.abs().max() <= bound
    assert not layer.self_attn.in_proj_bias.any() and not layer.multihead_attn.out_proj.bias.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((16, 3, 32, 1), "num_heads = 3 does not divide dim = 16"),
        ((16, 0, 32, 1), "num_heads = 0"),
        ((18, 2, 32, 1), "dim = 18"),
    ],
)
def test_widths_that_do_not_fit(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Transformer(*arguments)


def test_a_share_does_not_change_the_precision(attention):
    low = attention.to(torch.bfloat16)
    q, k, share = rand(B, N, C).bfloat16(), rand(B, M, C).bfloat16(), rand(B, N, M).sigmoid()
    assert low(q, k, k, share).dtype == torch.bfloat16
