"""The loss of stage 2 against a literal computation, in one process and in two."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.utils import comm

from errseg.modeling.deop.criterion import Criterion, Layer, dice_loss, focal_loss, ground_truth
from errseg.modeling.deop.matcher import Matcher

B, N, C = 3, 7, 4
WEIGHTS = {"classes": 0.7, "focal": 15.0, "dice": 3.0, "no_object": 0.2}


def inputs(seed=0, batch=B):
    """Two layers and labels: image 1 has one class, and the last image has none."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        Layer(
            (2 * torch.randn(batch, N, 4, 5, generator=generator)).requires_grad_(),
            torch.randn(batch, N, C + 1, generator=generator).requires_grad_(),
        )
        for _ in range(2)
    ]
    labels = torch.randint(0, C, (batch, 16, 20), generator=generator)
    labels[:, :3] = 255
    labels[1] = 2
    labels[-1] = 255
    return layers, labels


def literal(criterion, layers, labels):
    """Section 8 of the contract, pair by pair."""
    losses = {}
    count = max(sum(len(set(image.flatten().tolist()) - {255}) for image in labels), 1)
    for i, (masks, logits) in enumerate(layers):
        focal = dice = entropy = weight = 0
        for image in range(len(labels)):
            classes = sorted(set(labels[image].flatten().tolist()) - {255})
            targets = torch.stack([labels[image] == c for c in classes]) if classes else labels.new_zeros(0, 16, 20)
            proposals, of = criterion.matcher(masks[image], targets[:, ::4, ::4])
            own = {n: C for n in range(N)} | {
                n: classes[g] for n, g in zip(proposals.tolist(), of.tolist(), strict=True)
            }
            for n, c in own.items():
                w = criterion.no_object if c == C else 1.0
                entropy, weight = entropy - w * logits[image, n].log_softmax(-1)[c], weight + w
            for n, g in zip(proposals.tolist(), of.tolist(), strict=True):
                x = F.interpolate(masks[image, n][None, None], size=(16, 20), mode="bilinear").flatten()
                p, t = x.sigmoid(), targets[g].flatten().float()
                right = p * t + (1 - p) * (1 - t)
                focal = focal - ((0.25 * t + 0.75 * (1 - t)) * (1 - right) ** 2 * right.log()).mean()
                dice = dice + 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        suffix = "_0" if i == 0 else ""
        losses[f"loss_ce{suffix}"] = criterion.classes * entropy / weight
        losses[f"loss_mask{suffix}"] = criterion.focal * focal / count
        losses[f"loss_dice{suffix}"] = criterion.dice * dice / count
    return losses


@pytest.mark.parametrize("weights", ({}, WEIGHTS), ids=("defaults", "weights"))
def test_values_and_gradients_are_the_formulas(weights):
    criterion = Criterion(Matcher(), **weights)
    layers, labels = inputs()
    found, expected = criterion(layers, labels), literal(criterion, layers, labels)
    assert found.keys() == expected.keys() and len(found) == 6
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    tensors = [tensor for layer in layers for tensor in layer]
    for one, other in zip(
        torch.autograd.grad(sum(found.values()), tensors),
        torch.autograd.grad(sum(expected.values()), tensors),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_the_defaults_are_those_of_the_contract():
    criterion = Criterion(Matcher())
    assert (criterion.classes, criterion.focal, criterion.dice, criterion.no_object) == (1, 20, 1, 0.1)
    assert (criterion.alpha, criterion.gamma, criterion.matcher.focal, criterion.matcher.dice) == (0.25, 2, 20, 1)


def test_masks_alone():
    layers, labels = inputs()
    found = Criterion(Matcher())([Layer(masks, None) for masks, _ in layers], labels)
    both = Criterion(Matcher())(layers, labels)
    assert set(found) == {"loss_mask", "loss_dice", "loss_mask_0", "loss_dice_0"}
    assert all(found[name] == both[name] for name in found)


def test_a_batch_without_labels_has_finite_losses_and_gradients():
    layers, labels = inputs()
    found = Criterion(Matcher())(layers, torch.full_like(labels, 255))
    assert found["loss_mask"] == found["loss_dice"] == 0 and found["loss_ce"] > 0
    sum(found.values()).backward()
    assert all(tensor.grad.isfinite().all() for layer in layers for tensor in layer)


def test_masks_of_labels():
    labels = torch.tensor([[[7, 255], [7, 300]], [[255, 255], [255, 255]]])
    first, second = ground_truth(labels, 255)
    assert first.ids.tolist() == [7, 300] and second.masks.shape == (0, 2, 2)
    assert first.masks.tolist() == [[[True, False], [True, False]], [[False, False], [False, True]]]


def test_the_losses_of_masks_do_not_overflow():
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    focal, dice = focal_loss(logits, targets), dice_loss(logits, targets)
    assert focal.tolist() == [0, pytest.approx(0.5 * (0.25 + 0.75) * 200)] and dice.isfinite().all()
    (focal.sum() + dice.sum()).backward()
    assert logits.grad.isfinite().all()


def gradient(layers, labels):
    found = Criterion(Matcher())([Layer(masks, None) for masks, _ in layers], labels)
    return torch.autograd.grad(sum(found.values()), [masks for masks, _ in layers])


def test_the_number_of_masks_is_that_of_all_processes(monkeypatch):
    """The mean gradient of two processes, as DistributedDataParallel computes it, is that of all images in one."""
    layers, labels = inputs()
    whole = gradient(layers, labels)
    counts = [len(truth.ids) for truth in ground_truth(labels, 255)]
    assert counts == [C, 1, 0]
    parts = []
    for images in (slice(0, 1), slice(1, B)):
        others = sum(counts) - sum(counts[images])
        monkeypatch.setattr(comm, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda count, others=others: count.add_(others))
        parts.append(gradient([Layer(masks[images], None) for masks, _ in layers], labels[images]))
    for one, first, second in zip(whole, *parts, strict=True):
        torch.testing.assert_close(torch.cat([first, second]) / 2, one)
