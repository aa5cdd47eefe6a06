"""What an inspection shows of CAT-Seg."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from errseg.api import Segmenter
from errseg.errors import UsageError
from errseg.inspection import inspect
from errseg.modeling.cat_seg.panels import within
from errseg.modeling.views import Views
from tests.tiny import blobs, tiny_cfg_of, tiny_model

NAMES = ["cat", "grass", "sea", "road"]


@pytest.fixture
def segmenter():
    """``segmenter(KEY, value, ...)``: a tiny CAT-Seg that keeps three of four names."""

    def make(*changes):
        cfg = tiny_cfg_of("CATSeg", "MODEL.COST.MAX_CLASSES", 3, "INPUT.MIN_SIZE_TEST", 0, *changes)
        made = Segmenter(tiny_model(cfg), cfg)
        made.set_vocabulary(NAMES)
        return made

    return make


def test_costs_of_all_names_and_what_guides(segmenter):
    """With windows, of the view that shows the whole picture as a square."""
    changes = ["TEST.SLIDING_WINDOW", True, "TEST.WINDOW_CANVAS", 96, "TEST.WINDOW_WHOLE", True]
    made, picture = segmenter(*changes), blobs(64, 64)
    inspection = inspect(made, picture)
    image = torch.from_numpy(picture).permute(2, 0, 1)
    with torch.no_grad():
        expected = torch.einsum("dhw,td->thw", made.model.dense_embedding(image), made.encoded.text)
    (costs,) = inspection.cost.values()
    assert list(inspection.cost) == [f"E{made.model.backbone.patch_size}"] and len(costs) == len(NAMES)
    torch.testing.assert_close(torch.from_numpy(costs), expected, atol=1e-5, rtol=1e-4)
    guidance, grid = inspection.guidance, costs.shape[-1]
    assert guidance.image.shape == (16, grid, grid) and guidance.text.shape == (3, 16) and len(inspection.kept) == 3
    assert {name: x.shape[1:] for name, x in guidance.decoder.items()} == {
        "stage 1": (2 * grid, 2 * grid),
        "stage 2": (4 * grid, 4 * grid),
    }


def test_maps_without_the_share_of_the_padding(segmenter):
    """A view of 48 x 64 is padded to 64 x 64: three quarters of the rows show it."""
    maps = torch.rand(2, 8, 6, generator=torch.Generator().manual_seed(0))
    assert within(maps, (64, 96)) is maps
    expected = F.interpolate(maps[None, :, :6], (8, 6), mode="bilinear")[0]
    torch.testing.assert_close(within(maps, (48, 64))[:, :7], expected[:, :7])
    inspection = inspect(segmenter(), blobs(50, 70), what=["cost", "guidance"])
    assert all(np.isfinite(x).all() for x in (*inspection.cost.values(), *inspection.guidance.decoder.values()))


def test_a_model_that_nothing_guides(segmenter):
    keys = ("MODEL.AGGREGATION.IMAGE_GUIDANCE", "MODEL.AGGREGATION.TEXT_GUIDANCE", "MODEL.UPSAMPLING.GUIDED")
    made = segmenter(*(each for key in keys for each in (key, False)))
    assert inspect(made, blobs()).guidance is None
    with pytest.raises(UsageError, match="nothing guides the model"):
        inspect(made, blobs(), what=["guidance"])


def test_the_whole_of_windows_and_a_whole():
    """It is the view that the windows have beside them; without one, the image at its own size."""
    windows = Views(64, sliding_window=True, native=True, window_canvas=96, window_whole=True)
    assert windows.whole().of(50, 70)[0].size == (64, 64) == windows.of(50, 70)[-1].size
    assert Views(64, sliding_window=True, native=True).whole().of(50, 70)[0].size == (50, 70)
