"""The decoder that is traced gives what the decoder of a prediction gives. Written files: tests/export."""

import pytest
import torch

from errseg.modeling.prediction import Prediction
from errseg.modeling.sed.decoder import Decoder
from errseg.modeling.sed.export import TracedDecoder, exportable, first_slots, rows
from tests.conftest import NAMES

REJECTING = ["MODEL.REJECTION.ENABLED", True, "MODEL.REJECTION.TOP_K"]


@torch.no_grad()
def predictions(model, count=3, seed=8):
    """Of the two decoders, for images that differ much, with auxiliary heads that reject at each stage."""
    generator = torch.Generator().manual_seed(seed)
    for head in model.decoder.aux_heads:
        head.weight.normal_(generator=generator)
    images = torch.randn(count, 3, 64, 64, generator=generator) * torch.arange(1, count + 1).view(-1, 1, 1, 1)
    traced, text = exportable(model, True), model.encoded().text
    assert isinstance(traced.decoder, TracedDecoder) and isinstance(model.decoder, Decoder)
    return [each.segment(images, text, 0) for each in (model, traced)]


def of_all(prediction: Prediction, index: int) -> torch.Tensor:
    """The scores of all names, (T, h, w)."""
    found = prediction.of_whole(index)
    return found.scores.new_zeros(len(NAMES), *found.scores.shape[1:]).index_copy(0, found.kept, found.scores)


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["MODEL.FUSION.POOLING_TEST", 2, "MODEL.FUSION.COST_GUIDANCE", False],
        [*REJECTING, 1],
        [*REJECTING, 2],
        [*REJECTING, 1, "MODEL.FUSION.CLASS_ATTENTION", "softmax", "MODEL.FUSION.POOLING_TEST", 2],
        [*REJECTING, 1, "MODEL.FUSION.CLASS_ATTENTION", "none", "MODEL.FUSION.SPATIAL", "none"],
        [*REJECTING, len(NAMES)],
    ],
)
def test_images_together_are_as_images_alone(sed, changes):
    alone, together = predictions(sed(*changes))
    counts = [len(together.of_whole(i).kept) for i in range(3)]
    rejects = changes[:1] == REJECTING[:1] and changes[3] < len(NAMES)
    assert (len(set(counts)) > 1 and max(counts) < len(NAMES)) if rejects else set(counts) == {len(NAMES)}
    assert together.scores.shape[1] == max(counts)
    for i in range(3):
        torch.testing.assert_close(of_all(together, i), of_all(alone, i), atol=1e-5, rtol=1e-4)


def test_slots_hold_the_names_with_a_vote():
    votes = torch.tensor([[0, 1, 0, 0, 1, 1], [0, 0, 0, 1, 0, 0]]).bool()
    slots, taken = first_slots(votes)
    assert taken.tolist() == [[True] * 3, [True, False, False]]
    assert slots[0].tolist() == [1, 4, 5] and slots[1, 0] == 3
    x = torch.rand(12, 3, 2, 4)
    assert torch.equal(rows(x, slots)[:4], x[[1, 4, 5, 9]])
