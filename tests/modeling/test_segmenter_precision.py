"""Lower precision at test: what is converted, what is not, and that predictions stay close."""

import pytest
import torch

from errseg.errors import UsageError
from errseg.modeling.cost_map import cost_map
from errseg.modeling.layers import attend


def test_bfloat16_converts_image_tower_and_head_alone(build, make_batch):
    model = build("MODEL.PRECISION", "bfloat16")
    low = {name for name, p in model.named_parameters() if p.dtype == torch.bfloat16}
    assert low == {n for n, _ in model.named_parameters() if ".visual." in n or "downsample16" in n or "head" in n}
    assert model.text_embeddings.dtype == torch.float32
    with torch.no_grad():
        result = model(make_batch(1))[0]["sem_seg"]
    assert result.dtype == torch.float32 and result.isfinite().all()


def test_bfloat16_predictions_are_close(build, make_batch):
    exact, rounded = build(), build("MODEL.PRECISION", "bfloat16")
    with torch.no_grad():
        difference = exact(make_batch(2))[0]["sem_seg"] - rounded(make_batch(2))[0]["sem_seg"]
    assert 0 < difference.abs().max() < 0.05


@pytest.mark.parametrize(
    "changes", [("MODEL.HSM.ENABLED", False), ("MODEL.ESCF.ENABLED", False), ("MODEL.GUD.ENABLED", False)]
)
def test_ablations_run_in_bfloat16(changes, build, make_batch):
    model = build("MODEL.PRECISION", "bfloat16", *changes)
    with torch.no_grad():
        assert model.label_maps(make_batch(2))[1].shape == (64, 64)


def test_weights_of_a_checkpoint_are_converted_on_loading(build):
    model, other = build("MODEL.PRECISION", "bfloat16"), build("MODEL.PRECISION", "float32")
    model.load_state_dict(other.state_dict())
    assert model.sem_seg_head.gud.head.weight.dtype == torch.bfloat16


def test_cosines_are_of_float32_under_autocast():
    dense, text = torch.randn(1, 16, 4, 4), torch.nn.functional.normalize(torch.randn(5, 16), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        costs = cost_map(dense, text)
    torch.testing.assert_close(costs, cost_map(dense, text))


def test_attention_in_low_precision_is_attention():
    q, k, v = (torch.randn(3, 2, length, 8).bfloat16() for length in (7, 5, 5))
    expected = torch.nn.functional.scaled_dot_product_attention(q.float(), k.float(), v.float())
    with torch.no_grad():
        torch.testing.assert_close(attend(q, k, v).float(), expected, atol=0.03, rtol=0.03)
        torch.testing.assert_close(attend(q.float(), k.float(), v.float()), expected)


def test_training_in_low_precision_is_refused(build):
    with pytest.raises(UsageError, match="MODEL.PRECISION = 'bfloat16' is only for tests"):
        build("MODEL.PRECISION", "bfloat16").train()
    with pytest.raises(UsageError, match="MODEL.PRECISION = 'int4'"):
        build("MODEL.PRECISION", "int4")
