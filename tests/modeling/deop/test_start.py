"""A part of another stage's checkpoint is loaded strictly, or refused in a sentence that names the key."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from errseg.errors import UsageError
from errseg.modeling.deop.start import load_part

KEY = "MODEL.PROMPT.WEIGHTS"


@pytest.fixture
def checkpoint(tmp_path):
    """The path of a checkpoint with a part "prompt." and others."""
    weights = {"prompt.weight": torch.ones(2, 3), "prompt.bias": torch.ones(2), "other.prompt.bias": torch.zeros(2)}
    torch.save({"model": weights, "iteration": 3}, tmp_path / "stage1.pth")
    save_file(weights, tmp_path / "stage1.safetensors")
    return tmp_path / "stage1.pth"


def load(cfg, path, part=None, prefix="prompt."):
    cfg.MODEL.PROMPT.WEIGHTS = str(path)
    part = nn.Linear(3, 2) if part is None else part
    return load_part(cfg, KEY, part, prefix), part


@pytest.mark.parametrize("ending", (".pth", ".safetensors"))
def test_a_part_is_loaded_and_its_source_noted(tiny_cfg, checkpoint, ending):
    path, part = load(tiny_cfg, checkpoint.with_suffix(ending))
    assert path == part.weight_source == str(checkpoint.with_suffix(ending))
    assert (part.weight == 1).all() and (part.bias == 1).all()


class Prompt(nn.Module):
    def __init__(self):
        super().__init__()
        self.prefix = nn.Parameter(torch.zeros(4, 3))


@pytest.mark.parametrize("wrapper", ("model", ""))
def test_the_prompt_of_a_released_stage_1_is_loaded(tiny_cfg, tmp_path, wrapper):
    name = "clip_adapter.prompt_learner"
    weights = {f"{name}.prefix_prompt": torch.ones(4, 3), f"{name}.dot_signal": torch.zeros(1, 3)}
    torch.save({wrapper: weights} if wrapper else weights, tmp_path / "prompt.pth")
    path, part = load(tiny_cfg, tmp_path / "prompt.pth", Prompt())
    assert path == part.weight_source and (part.prefix == 1).all()
    torch.save({f"{name}.prefix_prompt": torch.ones(5, 3)}, tmp_path / "longer.pth")
    with pytest.raises(UsageError, match=f"^{KEY} = .*longer.pth.*1 of another shape"):
        load(tiny_cfg, tmp_path / "longer.pth", Prompt())


@pytest.mark.parametrize("key", ("MODEL.WEIGHTS", "MODEL.DEVICE"))
def test_nothing_is_loaded_where_a_whole_checkpoint_follows_or_there_are_no_values(tiny_cfg, key):
    tiny_cfg.merge_from_list([key, {"MODEL.WEIGHTS": "whole.pth", "MODEL.DEVICE": "meta"}[key]])
    path, part = load(tiny_cfg, "nowhere.pth")
    assert path == "" and not hasattr(part, "weight_source")


def test_nothing_is_loaded_without_a_path_or_into_a_module_without_weights(tiny_cfg, checkpoint):
    assert load(tiny_cfg, "")[0] == load(tiny_cfg, checkpoint, nn.Identity())[0] == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prefix": "anchors."}, r"stage1.pth' holds no weights 'anchors\.\*'; give a checkpoint of the stage before"),
        ({"part": nn.Linear(3, 4)}, "keys 2 of another shape .*was trained with the same MODEL keys"),
        ({"part": nn.Linear(3, 2, bias=False)}, "keys 1 unknown .bias."),
        ({"part": nn.Sequential(nn.Linear(3, 2))}, "2 missing"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(tiny_cfg, checkpoint, change, message):
    with pytest.raises(UsageError, match=f"^{KEY} = .*{message}"):
        load(tiny_cfg, checkpoint, **change)


@pytest.mark.parametrize("content", (b"", b"not weights"))
def test_a_file_that_cannot_be_read_is_refused(tiny_cfg, tmp_path, content):
    with pytest.raises(UsageError, match=f"^{KEY} = '.*none.pth': there is no such file"):
        load(tiny_cfg, tmp_path / "none.pth")
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="damaged.pth"):
        load(tiny_cfg, path)


def test_values_that_are_not_finite_are_refused(tiny_cfg, tmp_path):
    weights = {"prompt.weight": torch.full((2, 3), float("nan")), "prompt.bias": torch.ones(2)}
    torch.save({"model": weights}, tmp_path / "nan.pth")
    part = nn.Linear(3, 2)
    before = part.weight.clone()
    with pytest.raises(UsageError, match=f"^{KEY} = .*'weight'"):
        load(tiny_cfg, tmp_path / "nan.pth", part)
    assert torch.equal(part.weight, before)
