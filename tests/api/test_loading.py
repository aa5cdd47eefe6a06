"""From a path to a model: configurations, runs, checkpoints of ours and released ones."""

import os
import sys
from pathlib import Path

import pytest
import torch

import errseg
from errseg.api import loading
from errseg.checkpoint import ERRSegCheckpointer, to_official
from errseg.errors import UsageError
from errseg.modeling import build_on_meta, system_of
from tests.tiny import blobs, tiny_segmenter

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(build, tiny_cfg, tmp_path):
    """The folder of a training run, and the model that it holds."""
    model = build()
    ERRSegCheckpointer(model, str(tmp_path / "run")).save("model_final")
    (tmp_path / "run/config.yaml").write_text(tiny_cfg.dump())
    return tmp_path / "run", model


def weights_of(segmenter):
    return segmenter.model.state_dict()


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in other)


def test_a_run_its_checkpoint_or_both(run, tiny_cfg, capsys):
    folder, model = run
    ways = (
        (folder,),
        (folder / "model_final.pth",),
        (str(folder / "config.yaml"), folder / "model_final.pth"),
        (tiny_cfg, str(folder / "model_final.pth")),
        (tiny_cfg, folder),
    )
    for arguments in ways:
        segmenter = errseg.load(*arguments, device=torch.device("cpu"))
        assert same(weights_of(segmenter), model.state_dict()) and not segmenter.model.training
        said = capsys.readouterr().err
        assert said.startswith(f"Loaded {folder / 'model_final.pth'}: ERR-Seg, ") and said.endswith(" on cpu.\n")
    segmenter.set_vocabulary(["cat", "dog"])
    assert errseg.load(folder, verbose=False).device.type in ("cpu", "cuda") and not capsys.readouterr().err


def test_a_run_that_goes_on(run):
    folder, model = run
    os.rename(folder / "model_final.pth", folder / "model_0000009.pth")
    (folder / "last_checkpoint").write_text("model_0000009.pth")
    assert same(weights_of(errseg.load(folder, verbose=False)), model.state_dict())
    (folder / "last_checkpoint").unlink()
    with pytest.raises(UsageError, match="no checkpoint yet"):
        errseg.load(folder)


def test_a_later_run_in_the_folder_of_an_ended_one(run):
    """Its checkpoints are newer than the ``model_final.pth`` that the first run has left."""
    folder, model = run
    content = torch.load(folder / "model_final.pth", weights_only=True)
    content["model"] = {key: value + value.is_floating_point() for key, value in content["model"].items()}
    torch.save(content, folder / "model_0000009.pth")
    (folder / "last_checkpoint").write_text("model_0000009.pth")
    assert same(weights_of(errseg.load(folder, verbose=False)), content["model"])


def test_what_is_random_is_said(tiny_cfg, capsys):
    errseg.load(tiny_cfg, device="cpu")
    said = capsys.readouterr().err
    assert "Random weights give meaningless predictions" in said and "CLIP image tower" in said


def test_precision_and_overrides(run):
    folder, _ = run
    segmenter = errseg.load(folder, device="cpu", precision="bfloat16", verbose=False, overrides=["TEST.FLIP", True])
    assert segmenter.model.precision == "bfloat16" and segmenter.model.views.flip
    segmenter.set_vocabulary(["cat", "dog"])
    assert segmenter(torch.zeros(20, 20, 3, dtype=torch.uint8).numpy()).scores.dtype == "float32"


def test_a_released_checkpoint_alone(run, tmp_path, monkeypatch):
    """A whole one has hundreds of megabytes; here the tiny model plays the base one."""
    folder, model = run
    released = {to_official(key): value for key, value in model.state_dict().items()}
    torch.save({"model": released}, tmp_path / "released.pth")
    seen, other = [], errseg.get_cfg()
    other.MODEL.CLIP.NAME = "RN50"  # which no released model has
    monkeypatch.setattr(loading, "released_config", lambda state_dict: seen.append(len(state_dict)) or other.clone())
    with pytest.raises(UsageError, match=r"MODEL\.BACKBONE\.NAME|RN50"):
        errseg.load(tmp_path / "released.pth")
    with pytest.raises(UsageError, match="no configuration key TEST.FLOP; did you mean TEST.FLIP"):
        errseg.load(tmp_path / "released.pth", overrides=["TEST.FLOP", True])
    assert seen == 2 * [len(released)]
    monkeypatch.undo()
    assert errseg.checkpoint.released_clip_name({"sem_seg_head.clip_model.text_projection": torch.empty(2, 640)})
    with pytest.raises(UsageError, match="no released checkpoint and has no config.yaml"):
        errseg.load(tmp_path / "released.pth")


@pytest.mark.parametrize(("width", "clip"), [(640, "convnext_base_w_320"), (768, "convnext_large_d_320")])
def test_the_repository_of_a_release_by_what_its_file_holds(hub, tmp_path, width, clip):
    torch.save({"sem_seg_head.clip_model.text_projection": torch.empty(2, width)}, tmp_path / "x.pth")
    hub.files["lchen1019/ERR-Seg"] = {"main": {"README.md": b"", "any_name.pth": (tmp_path / "x.pth").read_bytes()}}
    cfg, weights = loading._resolve("lchen1019/ERR-Seg", None, ("TEST.FLIP", True), None)
    assert (cfg.MODEL.CLIP.NAME, cfg.TEST.FLIP, Path(weights).name) == (clip, True, "any_name.pth")


def test_a_released_deop_is_recognised_by_its_keys(tmp_path, monkeypatch):
    """A whole one has 875 megabytes; here the tiny model plays it, whose sizes a released one does not have."""
    tiny = tiny_segmenter("DeOP")
    own = tiny.model.state_dict()
    released = {system_of(tiny.cfg).released.to_released(key): value for key, value in own.items()}
    tokens = own["backbone.clip.token_embedding.weight"]
    for name, row in (("start", 49406), ("dot", 269), ("end", 49407), ("pad", 0)):
        released[f"clip_adapter.prompt_learner.{name}_signal"] = tokens[row : row + 1].clone()
    released["criterion.empty_weight"] = torch.ones(157)
    path = tmp_path / "released.pth"
    torch.save({"model": released}, path)
    cfg = errseg.checkpoint.released_config(released)
    assert (cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.PROPOSALS.NUM_QUERIES, cfg.MODEL.PROMPT.LENGTH) == ("DeOP", 5, 4)
    assert (cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST) == (512, 2560)
    with pytest.raises(UsageError, match="released.pth.* DeOP .*shape"):
        errseg.load(path, device="cpu")
    monkeypatch.setattr(loading, "released_config", lambda state_dict: tiny.cfg.clone())
    monkeypatch.setattr("errseg.modeling.deop.released.released_config", lambda state_dict: tiny.cfg.clone())
    with pytest.raises(UsageError, match="released weights for MODEL.CLIP.NAME = 'ViT-B-16-quickgelu'.*activation"):
        errseg.load(path, device="cpu")
    monkeypatch.setattr(sys.modules[build_on_meta.__module__], "has_quick_gelu", lambda model: True)  # it has GELU
    segmenter = errseg.load(path, device="cpu", verbose=False)
    assert same(weights_of(segmenter), own)
    for each in (segmenter, tiny):
        each.set_vocabulary(["cat", "grass", "sea"])
    assert (segmenter(blobs()).labels == tiny(blobs()).labels).all()


def test_wrong_paths(run, tmp_path, tiny_cfg):
    folder, _ = run
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8")
    for arguments, words in (
        ((tmp_path / "photo.jpg",), "photo.jpg is neither a configuration nor a checkpoint"),
        (("none.yaml",), "none.yaml does not exist"),
        ((tmp_path,), "no folder of a run"),
        ((tmp_path / "none.pth",), "no such file"),
        ((folder, tmp_path / "none.pth"), "no such file"),
        ((folder / "model_final.pth", folder / "model_final.pth"), "two checkpoints"),
        ((folder, None, "gpu"), "device 'gpu'"),
        ((folder, None, "cuda:99"), "device .*'cuda:99'"),
        ((folder, None, 0), "device '0'"),
        ((tiny_cfg, tmp_path), "no checkpoint yet"),
    ):
        with pytest.raises(UsageError, match=words):
            errseg.load(*arguments)


def test_config_files_name_their_files_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = ROOT / "configs/mini/errseg_mini.yaml"
    segmenter = errseg.load(config, overrides=["MODEL.CLIP.PRETRAINED", ""], device="cpu", verbose=False)
    assert segmenter.model.backbone.embed_dim == 128
