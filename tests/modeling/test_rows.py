"""MLPs that a CPU computes some rows at a time: the result of all rows at once, and where they are not used."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from errseg.modeling import rows
from errseg.modeling.clip.build import build_clip
from errseg.modeling.clip.convnext import ConvNeXtEncoder
from errseg.modeling.err_seg.layers import StarMLP
from errseg.modeling.rows import MLPInRows

DATA = Path(__file__).parents[1] / "data"
NUM_ROWS = 2 * rows.rows_at_a_time() + 7  # the last part is not full


@pytest.fixture(params=[MLPInRows, StarMLP])
def mlp(request):
    torch.manual_seed(0)
    if request.param is StarMLP:
        return StarMLP(8, 24)
    return MLPInRows(nn.Linear(8, 24), nn.GELU(), nn.Linear(24, 8))


def of_all_rows(mlp, x):
    if isinstance(mlp, StarMLP):
        return mlp.fc3(F.relu6(mlp.fc1(x)) * mlp.fc2(x))
    return mlp.fc2(F.gelu(mlp.fc1(x)))


def test_rows_give_what_all_give_at_once(mlp, monkeypatch):
    x = 3 * torch.randn(NUM_ROWS, 8)
    products, mm = [], torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, *others, **out: products.append(len(a)) or mm(a, *others, **out))
    with torch.no_grad():
        torch.testing.assert_close(mlp(x), of_all_rows(mlp, x))
        assert mlp(x[None]).shape == (1, NUM_ROWS, 8)
    assert set(products) == {rows.rows_at_a_time(), 7}  # a test of nothing if the rows were not divided


def test_a_result_does_not_change_with_the_next(mlp):
    """The buffers are used again; a result must not lie in them."""
    with torch.inference_mode():
        first = mlp(torch.ones(3, 8))
        before = first.clone()
        mlp(torch.zeros(3, 8))
        assert torch.equal(first, before)


def test_training_and_lower_precision_take_all_rows(mlp):
    x = torch.randn(NUM_ROWS, 8, requires_grad=True)
    mlp(x).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in (x, *mlp.parameters()))
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            assert mlp(x).dtype == torch.bfloat16
        assert mlp.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_the_encoder_takes_rows_with_the_weights_of_clip():
    encoder = ConvNeXtEncoder(build_clip(str(DATA / "tiny_clip.json")))
    mlps = {name for name, module in encoder.named_modules() if isinstance(module, MLPInRows)}
    assert mlps and all(f"{name}.fc1.weight" in encoder.state_dict() for name in mlps)


def test_a_block_of_convolutions_keeps_them():
    """timm's ``conv_mlp``, as in the CLIP of the mini world, works on maps of channels first."""
    encoder = ConvNeXtEncoder(build_clip("errseg/mini/clip.json")).eval()
    assert not any(isinstance(module, MLPInRows) for module in encoder.modules())
    with torch.no_grad():
        assert encoder(torch.zeros(1, 3, 64, 64))["E32"].shape[2:] == (2, 2)
