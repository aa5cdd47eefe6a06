"""ImageNet weights of a ResNet from files of Detectron2, torchvision and timm, and files that are refused."""

import os
import pickle

import numpy as np
import pytest
import timm.models.resnet as timm_resnet
import torch
from safetensors.torch import save_file

from errseg.errors import UsageError
from errseg.modeling.deop.backbone_weights import load_backbone_weights
from errseg.modeling.deop.resnet import Bottleneck, DeepStem, PlainStem, ResNet
from tests.modeling.deop.test_frozen_norm import randomised
from tests.modeling.deop.test_resnet import images

DEPTHS = (1, 1, 2, 1)


def network(seed, deep=True):
    torch.manual_seed(seed)
    stem = DeepStem(3, 8, 16) if deep else PlainStem(3, 16)
    return randomised(ResNet(stem, Bottleneck, DEPTHS, width=8), seed).eval()


def arrays(model, prefix=""):
    return {prefix + name: value.numpy() for name, value in model.state_dict().items()}


def same(model, other):
    x = images(1)
    with torch.no_grad():
        return all(torch.equal(ours, theirs) for ours, theirs in zip(model(x).values(), other(x).values(), strict=True))


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_pickle_of_detectron2(tmp_path, protocol, wrapped):
    theirs, ours = network(0), network(1)
    content = arrays(theirs) | {
        "stem.fc.weight": np.zeros((10, 4), np.float32),
        "stem.fc.bias": np.zeros(10, np.float32),
    }
    content["stem.conv1.norm.num_batches_tracked"] = np.array(7)
    content["stem.conv2.weight"] = content["stem.conv2.weight"].astype(">f4")  # of the other byte order
    path = tmp_path / "R.pkl"
    meta = {"__author__": "third_party", "matching_heuristics": True}
    path.write_bytes(pickle.dumps({"model": content, **meta} if wrapped else content, protocol))
    assert not same(ours, theirs)
    load_backbone_weights(ours, str(path))
    assert same(ours, theirs)


@pytest.mark.parametrize("prefix", ["", "backbone.", "backbone.bottom_up.", "proposals.backbone."])
@pytest.mark.parametrize("format", ["pth", "safetensors"])
def test_a_checkpoint(tmp_path, prefix, format):
    theirs, ours = network(0), network(1)
    weights = {prefix + name: value for name, value in theirs.state_dict().items()}
    if prefix:
        weights["sem_seg_head.predictor.weight"] = torch.zeros(3)
    path = str(tmp_path / f"model.{format}")
    save_file(weights, path) if format == "safetensors" else torch.save({"model": weights, "iteration": 3}, path)
    load_backbone_weights(ours, path)
    assert same(ours, theirs)


@pytest.mark.parametrize("deep", [True, False])
def test_a_file_of_timm_or_torchvision(tmp_path, deep):
    torch.manual_seed(0)
    stem = {"stem_type": "deep", "stem_width": 32} if deep else {}
    theirs = timm_resnet.ResNet(timm_resnet.Bottleneck, DEPTHS, num_classes=5, **stem).eval()
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    ours = ResNet(DeepStem(3, 32, 64) if deep else PlainStem(3, 64), Bottleneck, DEPTHS).eval()
    path = str(tmp_path / "resnet.pth")
    torch.save(theirs.state_dict(), path)
    load_backbone_weights(ours, path)
    with torch.no_grad():
        expected = theirs.forward_intermediates(images(), indices=[4], intermediates_only=True)[0]
        torch.testing.assert_close(ours(images())["res5"], expected, atol=1e-4, rtol=1e-4)


def test_a_deep_stem_with_numbered_names(tmp_path):
    """conv1, bn1, conv2, bn2, conv3, bn3 before the stages."""
    theirs, ours = network(0), network(1)
    weights = {}
    for name, value in theirs.state_dict().items():
        name = name.removeprefix("stem.").replace("shortcut.norm", "downsample.1").replace("shortcut", "downsample.0")
        for number in "123":
            name = name.replace(f"conv{number}.norm", f"bn{number}")
        for number in "2345":
            name = name.replace(f"res{number}", f"layer{int(number) - 1}")
        weights[name] = value
    path = str(tmp_path / "resnet.pth")
    torch.save({"state_dict": weights}, path)
    load_backbone_weights(ours, path)
    assert same(ours, theirs)


class Payload:
    def __reduce__(self):
        return os.system, ("true",)


def without(content, name):
    return {key: value for key, value in content.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: without(c, "res4.1.conv2.weight"),
            r"1 missing \(res4.1.conv2.weight\); give ImageNet weights of a ResNet",
        ),
        (lambda c: without(c, "res2.0.conv1.norm.running_var"), r"1 missing \(res2.0.conv1.norm.running_var\)"),
        (lambda c: c | {"res4.2.conv1.weight": np.zeros(3, np.float32)}, r"1 unknown \(res4.2.conv1.weight\)"),
        (lambda c: c | {"stem.conv1.weight": np.zeros((8, 3, 7, 7), np.float32)}, "1 of another shape"),
        (lambda c: c | {"stem.conv1.weight": np.full((8, 3, 3, 3), np.nan, np.float32)}, "that are NaN"),
        (lambda c: c | {"stem.conv1.weight": np.full((8, 3, 3, 3), "x")}, "is of the type ndarray, not a tensor"),
        (lambda c: {key: value.tolist() for key, value in c.items()}, "holds no tensors"),
        (lambda c: {"model": c, "more": Payload()}, r"asks for \w+.system, which is not data and is not run"),
        (lambda c: [c], "holds a list in place of a dictionary"),
        (
            lambda c: {"conv1_w": np.zeros((64, 3, 7, 7), np.float32)},
            "with Detectron2's, torchvision's or timm's names",
        ),
    ],
)
def test_pickles_that_are_refused(tmp_path, change, message):
    ours = network(1)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    path = tmp_path / "R.pkl"
    path.write_bytes(pickle.dumps(change(arrays(network(0)))))
    with pytest.raises(UsageError, match=message) as caught:
        load_backbone_weights(ours, str(path))
    assert str(path) in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("name", ["missing.pkl", "missing.pth"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(UsageError, match=f"{name} does not exist"):
        load_backbone_weights(network(0), str(tmp_path / name))


def test_a_damaged_pickle(tmp_path):
    path = tmp_path / "R.pkl"
    path.write_bytes(pickle.dumps(arrays(network(0)))[:-2000])
    with pytest.raises(UsageError, match="cannot be read: it is damaged"):
        load_backbone_weights(network(1), str(path))
