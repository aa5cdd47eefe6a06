"""What a resumed run says of keys that have changed."""

import pytest

from errseg.engine.changes import Change, describe, sets_optimizer


@pytest.mark.parametrize(
    ("key", "effect"),
    [
        ("MODEL.WEIGHTS", "has no effect: the weights are the checkpoint's"),
        ("MODEL.CLIP.PRETRAINED", "has no effect: the weights are the checkpoint's"),
        ("MODEL.PART.BACKBONE_WEIGHTS", "has no effect: the weights are the checkpoint's"),  # of any system
        ("MODEL.PART.SIZE", "takes effect on the weights as they are, which were trained with the other value"),
        ("SOLVER.POLY_LR_POWER", "takes effect"),
    ],
)
def test_effects(key, effect):
    assert describe([Change(key, "a", "b")], 5).splitlines()[1] == f"  {key} was 'a', now 'b': {effect}."


@pytest.mark.parametrize(
    ("key", "sets"),
    [
        ("SOLVER.POLY_LR_POWER", True),
        ("SOLVER.POLY_LR_CONSTANT_ENDING", True),
        ("SOLVER.WEIGHT_DECAY_EMBED", True),
        ("SOLVER.CLIP_MULTIPLIER", True),
        ("SOLVER.PART_MULTIPLIER", True),  # of any system
        ("SOLVER.CHECKPOINT_PERIOD", False),
        ("MODEL.CRM.PART_MULTIPLIER", False),
    ],
)
def test_keys_of_optimizer_and_schedule(key, sets):
    assert sets_optimizer([Change("TEST.EVAL_PERIOD", 1, 2), Change(key, 1, 2)]) is sets
