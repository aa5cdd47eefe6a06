"""Convolutions with frozen norms: the folded form, its gradients, and when it is computed again."""

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from errseg.modeling.deop import frozen_norm
from errseg.modeling.deop.frozen_norm import FrozenNorm, FrozenNormConv2d, with_folded_norms


def randomised(module, seed=0):
    """The module, with norms that are no identities."""
    generator = torch.Generator().manual_seed(seed)
    for norm in [child for child in module.modules() if isinstance(child, FrozenNorm)]:
        for name, buffer in norm.named_buffers():
            noise = torch.randn(buffer.shape, generator=generator)
            buffer.copy_(0.5 + noise.abs() if name in ("weight", "running_var") else 0.3 * noise)
    return module


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return randomised(FrozenNormConv2d(3, 8, 3, stride=2, dilation=2)).eval()


@pytest.fixture
def x():
    return torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def reference(layer):
    """The same as a convolution and PyTorch's batch norm in evaluation mode, on copies of the weights."""
    convolution = nn.Conv2d(3, 8, 3, 2, padding=2, dilation=2, bias=False)
    convolution.load_state_dict({"weight": layer.weight})
    norm = nn.BatchNorm2d(8)
    norm.load_state_dict(dict(layer.norm.named_buffers()), strict=False)
    return nn.Sequential(convolution, norm).to(layer.weight.dtype).eval()


def test_it_is_a_convolution_and_a_batch_norm(layer, x):
    assert list(layer.state_dict()) == [
        "weight",
        *(f"norm.{n}" for n in ("weight", "bias", "running_mean", "running_var")),
    ]
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    expected = reference(layer)(x)
    torch.testing.assert_close(layer(x), expected)
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(layer(x), expected)


def test_gradients_are_those_of_the_unfolded_form(layer, x):
    other = reference(layer)
    theirs, ours = x.clone().requires_grad_(), x.clone().requires_grad_()
    layer.eval()(ours).square().sum().backward()
    other(theirs).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, other[0].weight.grad)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_the_folded_weight_is_kept(layer, x):
    with torch.no_grad():
        layer(x)
        first = layer.folded()
        assert layer.eval().folded()[0] is first[0]
    layer.requires_grad_(False)
    assert layer.folded()[0] is first[0]  # no gradient of the weight is kept
    layer.requires_grad_(True)
    assert layer.folded()[0] is not first[0] and layer.folded()[0].requires_grad


def change_in_place(layer):
    with torch.no_grad():
        layer.weight.mul_(2)


def change_the_norm(layer):
    layer.norm.running_mean.add_(1)


def load(layer):
    layer.load_state_dict({key: value + 0.1 for key, value in layer.state_dict().items()})


def load_by_assignment(layer):
    layer.load_state_dict({key: value + 0.1 for key, value in layer.state_dict().items()}, assign=True)


def replace_the_data(layer):
    layer.weight.data = layer.weight.data + 1


def step(layer):
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1)
    with torch.enable_grad():
        layer(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()


def write_data_and_change_the_mode(layer):
    layer.weight.data.add_(1)
    layer.train().eval()


CHANGES = [change_in_place, change_the_norm, load, load_by_assignment, replace_the_data, step, nn.Module.double]
CHANGES += [write_data_and_change_the_mode]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_change_is_noticed(layer, x, change):
    with torch.no_grad():
        before = layer(x)
        change(layer)
        after = layer(x.to(layer.weight.dtype))
        torch.testing.assert_close(after, reference(layer)(x.to(layer.weight.dtype)))
    assert after.dtype != before.dtype or not torch.allclose(after, before)


def test_copies_and_pickles_do_not_hold_the_folded_weight(layer, x):
    with torch.no_grad():
        expected = layer(x)
        size = len(pickle.dumps(layer))
        frozen_norm._FOLDED.clear()
        assert len(pickle.dumps(layer)) == size
        layer(x)
        copied = copy.deepcopy(layer)
        change_in_place(copied)
        assert torch.equal(layer(x), expected) and not torch.equal(copied(x), expected)
        saved = io.BytesIO()
        torch.save(layer, saved)
        saved.seek(0)
        assert torch.equal(torch.load(saved, weights_only=False)(x), expected)


def test_the_folded_weight_goes_with_its_module(layer, x):
    with torch.no_grad():
        layer(x)
    assert layer in frozen_norm._FOLDED
    layer.to("cpu")
    assert layer not in frozen_norm._FOLDED


def test_after_inference_mode_a_gradient_of_the_input_is_there(layer, x):
    with torch.inference_mode():
        layer(x)
    layer.requires_grad_(False)
    x.requires_grad_()
    layer(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_a_layer_made_in_inference_mode(x):
    with torch.inference_mode():
        layer = randomised(FrozenNormConv2d(3, 8, 3, stride=2, dilation=2)).eval()
        first = layer(x)
        layer.weight.mul_(2)
        assert not torch.allclose(layer(x), first)  # the version of such a tensor is not counted


def test_threads(layer, x):
    with torch.no_grad():
        expected = layer(x)
    frozen_norm._FOLDED.clear()

    def run(_):
        with torch.no_grad():
            return layer(x)

    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(result, expected) for result in pool.map(run, range(16)))


@pytest.mark.parametrize("strict", [False, True])
def test_traced_programs(layer, x, strict):
    with torch.no_grad():
        expected = layer(x)
        kept = layer.folded()[0]
        exported = torch.export.export(layer, (x,), strict=strict)
        traced = torch.jit.trace(layer, (x,))
        assert layer.folded()[0] is kept
        torch.testing.assert_close(exported.module()(x), expected)
        torch.testing.assert_close(traced(x), expected)


def test_plain_convolutions_for_export(layer, x):
    model = nn.Sequential(layer, nn.Conv2d(8, 2, 1)).eval()
    folded = with_folded_norms(model)
    assert type(folded[0]) is nn.Conv2d and type(model[0]) is FrozenNormConv2d
    assert folded[1].weight is model[1].weight and not folded[0].training
    torch.testing.assert_close(folded(x), model(x))
