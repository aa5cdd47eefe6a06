"""Released checkpoints of SED: recognised, renamed strictly, and back."""

import json

import pytest
import torch

from errseg import checkpoint
from errseg.errors import UsageError
from errseg.modeling import build_on_meta
from errseg.modeling.sed.released import DECODER, from_released, released_config, to_released
from tests.test_parity import KEY_TABLES


def released(size):
    """A state dict with the released names and shapes, without memory."""
    shapes = json.loads((KEY_TABLES / f"sed_state_dict_{size}.json").read_text())
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize(
    ("size", "keys", "tensors", "trained", "total"),
    [("base", 608, 458, 89.60, 180.76), ("large", 658, 460, 201.24, 353.25)],
)
def test_every_key_has_its_place(size, keys, tensors, trained, total):
    state = released(size)
    assert len(state) == keys and checkpoint.is_official(state)
    model = build_on_meta(released_config(state))
    renamed, own = checkpoint.from_official(state), model.state_dict()
    assert renamed.keys() == own.keys() and all(renamed[key].shape == own[key].shape for key in own)
    assert {to_released(key) for key in own} == state.keys()
    stages = model.decoder.stages
    assert [[stage.skip.refine[i].num_groups for i in (1, 4)] for stage in stages] == [[4, 4], [2, 2], [1, 1]]
    assert [(stage.attention.pooling, stage.attention.pooling_test) for stage in stages] == [(2, 1)] * 3
    learns = [p for p in model.parameters() if p.requires_grad]
    assert len(learns) == tensors and sum(p.numel() for p in learns) / 1e6 == pytest.approx(trained, abs=0.006)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(total, abs=0.006)


def test_what_does_not_fit_is_named():
    state, key = released("base"), f"{DECODER}head1.bias"
    with pytest.raises(UsageError, match=f"Not a whole released SED checkpoint, keys 1 missing: {key}; get the file"):
        from_released({name: value for name, value in state.items() if name != key})
    with pytest.raises(UsageError, match="1 unknown: module.extra"):
        from_released(state | {"module.extra": torch.zeros(1)})
    with pytest.raises(UsageError, match=r"1 of another shape: .*head1.bias \(3,\) instead of \(1,\)"):
        from_released(state | {key: torch.zeros(3)})
