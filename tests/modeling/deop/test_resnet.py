"""The ResNets: sizes, names, dilations, and timm's ResNets on the same weights."""

from unittest import mock

import pytest
import timm.models.resnet as timm_resnet
import torch
from detectron2.modeling import BACKBONE_REGISTRY, ShapeSpec
from torch import nn

import errseg
from errseg.modeling.deop.resnet import BasicBlock, Bottleneck, DeepStem, PlainStem, ResNet, ResNet18c
from tests.modeling.deop.test_frozen_norm import randomised


def small(block=Bottleneck, **arguments):
    torch.manual_seed(0)
    return randomised(ResNet(DeepStem(3, 8, 16), block, (1, 2, 1, 3), width=8, **arguments)).eval()


def images(batch=2, height=64, width=96):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "millions", "channels"),
    [("ResNet101c", 42.518208, (256, 512, 1024, 2048)), ("ResNet50", 23.454912, (256, 512, 1024, 2048))]
    + [("ResNet18c", 11.186016, (64, 128, 256, 512)), ("ResNet18cHalf", 2.79672, (32, 64, 128, 256))],
)
def test_registered_sizes(name, millions, channels):
    with torch.device("meta"):
        model = BACKBONE_REGISTRY.get(name)(errseg.get_cfg(), ShapeSpec(channels=3))
    assert sum(parameter.numel() for parameter in model.parameters()) == round(millions * 1e6)
    shapes = model.output_shape()
    assert list(shapes) == ["res2", "res3", "res4", "res5"] and model.size_divisibility == 32
    assert tuple(shape.channels for shape in shapes.values()) == channels
    outputs = model(torch.empty(1, 3, 64, 96, device="meta"))
    for key, shape in shapes.items():
        assert outputs[key].shape == (1, shape.channels, 64 // shape.stride, 96 // shape.stride)


def test_names_and_dilations_of_the_released_backbone():
    with torch.device("meta"):
        model = BACKBONE_REGISTRY.get("ResNet101c")(errseg.get_cfg(), ShapeSpec(channels=3))
    keys = model.state_dict()
    assert len(keys) == 5 * 106  # 3 of the stem, 33 blocks of 3, 4 shortcuts, each with a norm of four buffers
    assert keys["stem.conv3.weight"].shape == (128, 64, 3, 3) and "res4.22.conv3.norm.running_var" in keys
    assert keys["res2.0.shortcut.weight"].shape == (256, 128, 1, 1) and "res2.1.shortcut.weight" not in keys
    convolutions = [block.conv2 for block in model.res5]
    assert [layer.dilation[0] for layer in convolutions] == [layer.padding[0] for layer in convolutions] == [1, 2, 4]
    assert [layer.stride[0] for layer in convolutions] == [2, 1, 1]


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_every_convolution_gets_a_gradient(block):
    model = small(block, multi_grid=(1, 2, 4)).train()
    x = images()
    before = x.clone()
    sum(output.square().mean() for output in model(x).values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    assert torch.equal(x, before)


def test_a_batch_gives_what_single_images_give():
    model = small(multi_grid=(1, 2, 4))
    x = images()
    with torch.no_grad():
        for name, both in model(x).items():
            single = torch.cat([model(image[None])[name] for image in x])
            torch.testing.assert_close(both, single, atol=1e-4, rtol=1e-4)


def timm_keys(state_dict, stem):
    """Our names in place of timm's, for a ResNet with the stem's convolutions given."""
    renamed = {}
    for key, value in state_dict.items():
        for theirs, ours in stem.items():
            key = key.replace(theirs, ours) if key.startswith(theirs) else key
        parts = key.split(".")
        if parts[0].startswith("layer"):
            parts[0] = f"res{int(parts[0][-1]) + 1}"
            if parts[2] == "downsample":
                parts[2:4] = ["shortcut"] if parts[3] == "0" else ["shortcut", "norm"]
            elif parts[2].startswith("bn"):
                parts[2:3] = [f"conv{parts[2][-1]}", "norm"]
        renamed[".".join(parts)] = value
    return {key: value for key, value in renamed.items() if not key.endswith("num_batches_tracked")}


DEEP = {
    "conv1.0": "stem.conv1",
    "conv1.1.": "stem.conv1.norm.",
    "conv1.3": "stem.conv2",
    "conv1.4.": "stem.conv2.norm.",
}
DEEP |= {"conv1.6": "stem.conv3", "bn1.": "stem.conv3.norm."}
PLAIN = {"conv1.": "stem.conv1.", "bn1.": "stem.conv1.norm."}


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("deep", [True, False])
def test_timm_on_the_same_weights(block, deep):
    torch.manual_seed(0)
    kind = getattr(timm_resnet, block.__name__)
    stem = {"stem_type": "deep", "stem_width": 32} if deep else {}
    theirs = timm_resnet.ResNet(kind, (1, 2, 1, 2), num_classes=0, **stem).eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, std=0.1)
    ours = ResNet(DeepStem(3, 32, 64) if deep else PlainStem(3, 64), block, (1, 2, 1, 2)).eval()
    ours.load_state_dict(timm_keys(theirs.state_dict(), DEEP if deep else PLAIN))
    with torch.no_grad():
        expected = theirs.forward_intermediates(images(), indices=[1, 2, 3, 4], intermediates_only=True)
        for output, other in zip(ours(images()).values(), expected, strict=True):
            torch.testing.assert_close(output, other, atol=1e-4, rtol=1e-4)


def test_initial_values():
    torch.manual_seed(0)
    model = ResNet18c(in_channels=3)
    weight = model.res4[1].conv1.weight
    assert abs(weight.std() - (2 / (256 * 9)) ** 0.5) < 1e-3
    assert torch.equal(model.res3[0].conv2.norm.weight, torch.full((128,), 0.5**0.5))
    assert torch.equal(model.res3[0].conv1.norm.weight, torch.ones(128))
    with torch.no_grad():
        stds = [output.std() for output in model.eval()(images()).values()]
    assert max(stds) < 20  # the variance does not double with each block


def test_checkpointing_computes_blocks_again_and_changes_nothing():
    images, gradients, counts = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        backbone = ResNet18c(in_channels=3, gradient_checkpointing=checkpointing).train()
        with mock.patch.object(backbone.res4[1], "forward", wraps=backbone.res4[1].forward) as block:
            sum(each.square().mean() for each in backbone(images).values()).backward()
        counts.append(block.call_count)
        gradients.append([p.grad for p in backbone.parameters()])
    assert counts == [1, 2]
    torch.testing.assert_close(gradients[1], gradients[0])
