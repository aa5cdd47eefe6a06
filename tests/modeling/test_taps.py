"""Taps: what passes at them is kept while the model runs, and nothing stays behind."""

import threading

import pytest
import torch

from errseg.errors import UsageError
from errseg.modeling.taps import has_tap, tap_of, taps_of, watch


@torch.no_grad()
def test_watch_keeps_each_call_of_this_thread_and_leaves_nothing(build, make_batch):
    model, batch = build(), make_batch(1)
    with watch(model, ["cost", "kept", "head"]) as seen:
        model(batch)
        other = threading.Thread(target=lambda: model.label_maps(make_batch(1)))
        other.start()
        other.join()
        model(batch)
    assert {name: len(values) for name, values in seen.items()} == {"cost": 2, "kept": 2, "head": 2}
    assert seen["cost"][0].shape == (1, 8, 4, 4) and seen["kept"][0].shape == (1, 8)
    assert seen["head"][0][0].shape == (1, 8, 16, 16)
    model(batch)
    assert len(seen["cost"]) == 2 and not any(module._forward_hooks for module in model.modules())


def test_watch_leaves_nothing_after_a_failure(build):
    model = build()
    with pytest.raises(ZeroDivisionError), watch(model, ["encoder"]):
        raise ZeroDivisionError
    with pytest.raises(UsageError, match="This ERRSeg has no tap 'sfm3'; it has cfm1, cfm2, cost"):
        with watch(model, ["encoder", "sfm3"]):
            pass
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("changes", "lacking"),
    [
        ((), set()),
        (("MODEL.ESCF.CFM", False), {"text_guidance", "cfm1", "cfm2"}),
        (("MODEL.ESCF.SFM", False), {"image_guidance", "sfm1", "sfm2"}),
        (("MODEL.GUD.GUIDANCE_OS16", False), {"decoder_guidance1"}),
        (("MODEL.GUD.ENABLED", False), {f"{name}{i}" for name in ("upsample", "decoder_guidance") for i in (1, 2, 3)}),
    ],
)
@torch.no_grad()
def test_a_model_has_the_taps_of_its_modules(changes, lacking, build, make_batch):
    every = set(taps_of(build()))
    model = build(*changes)
    assert every - set(taps_of(model)) == lacking
    assert has_tap(model, "layer2") and tap_of(model, "escf").module is model.sem_seg_head.escf
    with watch(model, taps_of(model)) as seen:
        model(make_batch(1))
    assert set(seen) == set(taps_of(model))  # all are passed
    torch.testing.assert_close(seen["layer2"][0], seen["escf"][0])
    assert seen["ranking"][0].sum().item() == pytest.approx(1.11)
