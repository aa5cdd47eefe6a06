"""The assignment of masks to proposals against an exhaustive search."""

import itertools

import pytest
import torch

from errseg.modeling.deop.matcher import Matcher


def inputs(proposals=5, masks=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(proposals, 6, 7, generator=generator)
    return logits, torch.rand(masks, 6, 7, generator=generator) < 0.4


def cost(logits, target, focal=20.0, dice=1.0, alpha=0.25, gamma=2.0):
    """The cost of one pair, literally."""
    p, t = logits.double().sigmoid().flatten(), target.double().flatten()
    right = p * t + (1 - p) * (1 - t)
    weight = alpha * t + (1 - alpha) * (1 - t)
    focal_loss = (-weight * (1 - right) ** gamma * right.log()).mean()
    dice_loss = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    return (focal * focal_loss + dice * dice_loss).item()


@pytest.mark.parametrize("options", ({}, {"focal": 1.0, "dice": 5.0, "alpha": 0.6, "gamma": 1.0}))
def test_costs_of_pairs(options):
    logits, targets = inputs()
    found = Matcher(**options).cost(logits.flatten(1), targets.float().flatten(1))
    expected = torch.tensor([[cost(x, t, **options) for t in targets] for x in logits])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("proposals", "masks"), ((5, 3), (3, 5), (4, 4)))
def test_the_pairs_have_the_least_cost(proposals, masks, seed):
    logits, targets = inputs(proposals, masks, seed)
    chosen, of = Matcher()(logits, targets)
    assert len(chosen) == len(of) == min(proposals, masks)
    assert len(set(chosen.tolist())) == len(set(of.tolist())) == len(of)
    total = sum(cost(logits[i], targets[j]) for i, j in zip(chosen, of, strict=True))
    if proposals >= masks:
        ways = (list(zip(way, range(masks), strict=True)) for way in itertools.permutations(range(proposals), masks))
    else:
        ways = (
            list(zip(range(proposals), way, strict=True)) for way in itertools.permutations(range(masks), proposals)
        )
    assert total == pytest.approx(min(sum(cost(logits[i], targets[j]) for i, j in way) for way in ways))


def test_no_masks_have_no_pairs():
    chosen, of = Matcher()(*inputs(masks=0))
    assert chosen.shape == of.shape == (0,) and chosen.dtype == of.dtype == torch.int64


def test_a_cost_that_is_not_finite_leaves_an_assignment():
    logits, targets = inputs()
    logits[2] = float("nan")
    chosen, of = Matcher()(logits, targets)
    assert 2 not in chosen.tolist() and sorted(of.tolist()) == [0, 1, 2]
