"""Released checkpoints: both sizes, strictly, in both directions."""

import json

import pytest
import torch

from errseg.checkpoint import from_official, to_official
from errseg.errors import UsageError
from errseg.modeling import build_on_meta, released_of
from errseg.modeling.cat_seg.released import config_of, constants
from errseg.modeling.cat_seg.spatial import window_mask
from tests.conftest import DATA

MASK = "sem_seg_head.predictor.transformer.layers.1.swin_block.block_2.attn_mask"


def made_up(size):
    """A state dict of the released keys and shapes on the meta device, with the real masks."""
    shapes = json.loads((DATA / "parity" / f"cat_seg_state_dict_{size}.json").read_text())
    mask = window_mask(24, 12, 6)
    return {key: mask if "attn_mask" in key else torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize(
    ("size", "dim", "millions", "trained", "tensors"),
    [("base", 512, 154.29, 25.12, 180), ("large", 768, 433.73, 70.27, 204)],
)
def test_every_key_has_its_place(size, dim, millions, trained, tensors):
    released, model = made_up(size), build_on_meta(config_of(dim))
    ours = from_official(released)
    assert ours.keys() == model.state_dict().keys()
    assert {key: value.shape for key, value in ours.items()} == {k: v.shape for k, v in model.state_dict().items()}
    assert {to_official(key, "CATSeg") for key in ours} == released.keys()
    assert released_of(released) is not None and released_of(ours) is None
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters) / 1e6 == pytest.approx(millions, abs=0.005)
    chosen = [p for p in parameters if p.requires_grad]
    assert len(chosen) == tensors and sum(p.numel() for p in chosen) / 1e6 == pytest.approx(trained, abs=0.005)
    assert len(constants(model)) == 2


def test_parts_of_a_shifted_window():
    mask = window_mask(24, 12, 6)
    assert mask.shape == (4, 144, 144) and set(mask.unique().tolist()) == {-100.0, 0.0}
    # the share of pairs that see each other: one part in the first window, two of the same size, two, four
    assert [float((window == 0).float().mean()) for window in mask] == [1, 0.5, 0.5, 0.25]
    assert mask[1][0, 5] == 0 and mask[1][0, 6] == -100 and mask[2][0, 71] == 0 and mask[2][0, 72] == -100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("upsample1.bias"), "keys 1 missing: upsample1.bias"),
        (lambda weights: weights.update(more=torch.zeros(1)), "keys 1 unknown: more"),
        (lambda weights: weights.update({"upsample1.bias": torch.zeros(3)}), r"upsample1.bias \(3,\) instead of"),
        (lambda weights: weights.update({MASK: torch.zeros(4, 144, 144)}), "attn_mask is not the mask of windows"),
    ],
    ids=["missing", "unknown", "shape", "mask"],
)
def test_another_checkpoint_is_refused(change, message):
    weights = made_up("base")
    change(weights)
    with pytest.raises(UsageError, match=message):
        from_official(weights)
