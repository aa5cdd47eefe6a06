import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from errseg import get_cfg
from errseg.checkpoint import ERRSegCheckpointer, from_official, is_official
from errseg.errors import UsageError
from errseg.modeling import ERRSeg

KEY_TABLES = Path(__file__).parents[1] / "data" / "parity"


def official(size):
    """A released checkpoint's state dict, without values."""
    shapes = json.loads((KEY_TABLES / f"official_state_dict_{size}.json").read_text())
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


# ---- released checkpoints ----


@pytest.mark.parametrize(("size", "number"), [("base", 727), ("large", 777)])
def test_every_key_of_a_released_checkpoint_fits_ours_and_none_is_left(size, number):
    ours = from_official(official(size))
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "meta"
    cfg.MODEL.CLIP.NAME = {"base": "convnext_base_w_320", "large": "convnext_large_d_320"}[size]
    with torch.device("meta"):
        own = ERRSeg(cfg).state_dict()
    assert len(ours) == number and {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in own.items()}


def test_ours_is_not_official(build):
    assert is_official(official("base")) and not is_official(build().state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("sem_seg_head.decoder.head.bias"), "1 missing: sem_seg_head.decoder.head.bias"),
        (lambda d: d.update({"sem_seg_head.decoder.tail.bias": torch.empty(1)}), "1 unknown.*decoder.tail.bias"),
        (
            lambda d: d.update({"sem_seg_head.decoder.head.bias": torch.empty(2)}),
            r"1 of another shape: .*head.bias \(2,\) instead of \(1,\)",
        ),
        (lambda d: d.update({"foo.bar": torch.empty(1), "foo.baz": torch.empty(1)}), "2 unknown: foo.bar, foo.baz"),
        (lambda d: d.pop("sem_seg_head.clip_model.text_projection"), "1 missing: .*text_projection"),
    ],
)
def test_a_wrong_released_checkpoint_names_its_keys(change, message):
    state = official("base")
    change(state)
    with pytest.raises(ValueError, match=message):
        from_official(state)


def test_model_weights_recognises_a_released_file(tmp_path):
    shapes = json.loads((KEY_TABLES / "official_state_dict_base.json").read_text())
    zeros = torch.zeros(max(map(math.prod, shapes.values())))  # of all weights but one, so that the file is not large
    released = {key: zeros[: math.prod(shape)].view(shape) for key, shape in shapes.items()}
    released["sem_seg_head.decoder.head.weight"] = torch.randn(shapes["sem_seg_head.decoder.head.weight"])
    torch.save({"model": released, "iteration": 80000}, tmp_path / "released.pth")
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):  # and no time goes into random weights
        model = ERRSeg(cfg)
    model.to_empty(device="cpu")
    rest = ERRSegCheckpointer(model).load(str(tmp_path / "released.pth"))
    assert rest["iteration"] == 80000
    assert torch.equal(model.sem_seg_head.gud.head.weight, released["sem_seg_head.decoder.head.weight"])
    released.pop("sem_seg_head.decoder.head.weight")
    torch.save({"model": released}, tmp_path / "truncated.pth")
    with pytest.raises(ValueError, match="truncated.pth.*sem_seg_head.decoder.head.weight"):
        ERRSegCheckpointer(model).load(str(tmp_path / "truncated.pth"))


# ---- ours ----


def test_round_trip_with_optimizer_and_iteration(tmp_path, build):
    model = build()
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    for p in model.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None
    optimizer.step()
    ERRSegCheckpointer(model, str(tmp_path), optimizer=optimizer).save("model_0000007", iteration=7)
    other = build()
    other_optimizer = torch.optim.AdamW(p for p in other.parameters() if p.requires_grad)
    checkpointer = ERRSegCheckpointer(other, str(tmp_path), optimizer=other_optimizer)
    assert checkpointer.has_checkpoint()
    assert checkpointer.resume_or_load("", resume=True)["iteration"] == 7
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    assert len(other_optimizer.state) == len(optimizer.state) > 0


def test_safetensors_load(tmp_path, build):
    model = build()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    assert ERRSegCheckpointer(build()).load(str(tmp_path / "model.safetensors")) == {}


def test_a_failed_save_leaves_the_last_checkpoint(tmp_path, build, monkeypatch):
    checkpointer = ERRSegCheckpointer(build(), str(tmp_path))
    checkpointer.save("model_final")
    before = (tmp_path / "model_final.pth").read_bytes()

    def full_disk(data, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        checkpointer.save("model_final")
    assert (tmp_path / "model_final.pth").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_final.pth"]


def test_missing_damaged_and_foreign_files_are_named(tmp_path, build):
    checkpointer = ERRSegCheckpointer(build())
    with pytest.raises(UsageError, match="nowhere.pth"):
        checkpointer.load(str(tmp_path / "nowhere.pth"))
    (tmp_path / "half.pth").write_bytes(b"PK\x03\x04 not all of it")
    with pytest.raises(ValueError, match="half.pth is a zip archive that is cut off"):
        checkpointer.load(str(tmp_path / "half.pth"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="holds a list"):
        checkpointer.load(str(tmp_path / "list.pth"))


def test_a_checkpoint_of_another_model_names_keys(tmp_path, build):
    ERRSegCheckpointer(build(), str(tmp_path)).save("model_final")
    other = build("MODEL.GUD.ENABLED", False)
    with pytest.raises(ValueError, match="unknown.*gud.stages"):
        ERRSegCheckpointer(other).load(str(tmp_path / "model_final.pth"))


def test_the_remains_of_a_killed_save_go(tmp_path, build):
    (tmp_path / "model_0000001.pth.tmp").write_bytes(b"half")
    ERRSegCheckpointer(build(), str(tmp_path)).save("model_0000002")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last_checkpoint", "model_0000002.pth"]


def test_pickled_code_is_not_run(tmp_path, build):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"model": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="evil.pth"):
        ERRSegCheckpointer(build()).load(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "ran").exists()


def test_the_log_says_where_weights_are_from(tmp_path, build, caplog):
    model = build()
    ERRSegCheckpointer(model, str(tmp_path)).save("model_final")
    with caplog.at_level("INFO"):
        ERRSegCheckpointer(model).load(str(tmp_path / "model_final.pth"))
    block = next(r.message for r in caplog.records if r.message.startswith("Weights of ERRSeg"))
    assert block.count("model_final.pth") == 6 and "random" not in block
