"""The plain form computes what the model computes."""

import pytest
import torch

from errseg.modeling.deop.frozen_norm import FrozenNormConv2d
from errseg.modeling.deop.plain import PLAIN, plain_form
from errseg.modeling.deop.proposals import ProposalNetwork
from errseg.modeling.deop.transformer import Attention
from tests.modeling.deop.test_frozen_norm import randomised
from tests.modeling.deop.test_proposals import images, small


@pytest.fixture(params=[True, False], ids=["gradients", "no gradients"])
def grad(request):
    with torch.set_grad_enabled(request.param):
        yield


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_every_plain_class_has_the_same_parameters():
    for kind, plain in PLAIN.items():
        assert issubclass(plain, kind) and "__init__" not in vars(plain)
        assert any(callable(each) and hasattr(kind, name) for name, each in vars(plain).items())


def test_frozen_norm(grad):
    layer = randomised(FrozenNormConv2d(3, 8, 3, stride=2, dilation=2)).eval()
    plain = plain_form(layer)
    assert plain.weight is layer.weight
    close(layer(images()), plain(images()))


def test_attention(grad):
    attention = Attention(16, 4).eval()
    q, k, v = (torch.randn(2, length, 16) for length in (3, 7, 7))
    close(attention(q, k, v), plain_form(attention)(q, k, v))
    share = torch.rand(2, 3, 7)
    close(attention(q, k, v, share), plain_form(attention)(q, k, v, share))


def test_proposal_network(grad):
    network = small()
    plain = plain_form(network)
    assert isinstance(plain, ProposalNetwork)
    close(network(images()), plain(images()))
    close(network.each_layer(images()), plain.each_layer(images()))


def test_gradients():
    network = small()
    plain = plain_form(network)
    grads = []
    for model in (network, plain):
        model.zero_grad()
        sum(masks.sigmoid().mean() for masks, _ in model.each_layer(images())).backward()
        grads.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert grads[0].keys() == grads[1].keys() and len(grads[0]) > 60
    for name, ours in grads[0].items():
        torch.testing.assert_close(ours, grads[1][name], atol=1e-3 * ours.abs().max().item() + 1e-7, rtol=1e-3)


@pytest.mark.parametrize("changes", [(), ("MODEL.ANCHORS.MASKED", True), ("MODEL.PROMPT.LEARNED", False)])
@pytest.mark.parametrize("mode", ["masked", "plain", "guided", "none"])
@torch.no_grad()
def test_the_whole_model(mode, changes, deop, make_batch):
    model = deop("MODEL.PATCH_SEVERANCE.MODE", mode, "MODEL.PATCH_SEVERANCE.BLOCKS", [1, 2], *changes)
    plain = plain_form(model)
    close(model.text_embeddings, plain.text_embeddings)
    batch = [{"image": x["image"][:, : 64 - 8 * i, : 50 + 10 * i]} for i, x in enumerate(make_batch(2))]
    for ours, literal in zip(model(batch), plain(batch), strict=True):
        assert ours["sem_seg"].max() > 0.05  # they say something
        close(ours["sem_seg"], literal["sem_seg"])
    for ours, literal in zip(model.label_maps(batch), plain.label_maps(batch), strict=True):
        assert (ours == literal).float().mean() > 0.99


def test_the_loss_of_a_batch(deop, make_batch):
    model = deop()  # in evaluation mode: without dropout
    losses, literal = model.losses(make_batch(2)), plain_form(model).losses(make_batch(2))
    assert losses.keys() == literal.keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, literal[name], rtol=1e-4, atol=1e-6)
