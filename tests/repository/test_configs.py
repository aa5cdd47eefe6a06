"""Every configuration file builds, trains a step and predicts, its model shrunk."""

from pathlib import Path

import pytest
import torch

import errseg
from errseg.checkpoint import from_official
from tests.conftest import DATA, NAMES

CONFIGS = Path(__file__).parents[2] / "configs"
MODELS = sorted([*CONFIGS.glob("errseg_*.yaml"), *CONFIGS.glob("sed_*.yaml")])
ABLATIONS = sorted(path for path in CONFIGS.glob("ablations/*.yaml") if not path.stem.startswith("cat_seg_"))
TINY_CLIP = {"ConvNeXtCLIP": "tiny_clip.json", "DenseConvNeXtCLIP": "tiny_clip.json", "ViTCLIP": "tiny_vit.json"}


def shrink(path):
    """The configuration of a file with a tiny CLIP and narrow, shallow modules; everything else is the file's."""
    cfg = errseg.get_cfg()
    cfg.merge_from_file(str(path))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.CLIP.NAME = str(DATA / TINY_CLIP[cfg.MODEL.BACKBONE.NAME])
    cfg.MODEL.CLIP.PRETRAINED = ""
    cfg.MODEL.ESCF.DIM = 16
    cfg.MODEL.ESCF.NUM_LAYERS = 2
    cfg.INPUT.RESOLUTION_TRAIN //= 10
    cfg.INPUT.RESOLUTION_TEST //= 8
    if cfg.MODEL.META_ARCHITECTURE == "SED":
        cfg.MODEL.FUSION.DIM = 16
        cfg.INPUT.RESOLUTION_TRAIN = cfg.INPUT.RESOLUTION_TEST = 64
        if "imagenet" in cfg.MODEL.PROMPT.TEMPLATES:
            cfg.MODEL.PROMPT.TEMPLATES = ("a {}", "the {}")
    return cfg


@pytest.mark.parametrize("path", MODELS + ABLATIONS, ids=lambda path: path.stem)
def test_a_step_and_a_prediction(path, make_batch):
    cfg = shrink(path)
    torch.manual_seed(0)
    model = errseg.build_model(cfg)
    model.set_vocabulary([f"{i} {name}" for i in range(12) for name in NAMES])
    sum(model.train()(make_batch(1)).values()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    with torch.no_grad():
        assert model.eval()(make_batch(1))[0]["sem_seg"].shape == (96, 64, 64)


def test_there_is_a_file_for_every_row_of_the_papers_ablations():
    stems = {path.stem for path in ABLATIONS}
    tables = ["table2", "fig6", "fig7", *(f"table{n}" for n in range(5, 15)), "sed"]
    counts = {table: sum(stem.startswith(f"{table}_") for stem in stems) for table in tables}
    # the rows of each table but the paper's own setting, which is configs/errseg_convnext_*.yaml
    rows = dict(table2=2, fig6=4, fig7=4, table5=4, table6=2, table7=2, table8=2, table9=1)
    rows |= dict(sed=18)  # SED's, of which no table is at hand: one for each flag
    rows |= dict(table10=3, table11=4, table12=2, table13=10, table14=6)
    assert counts == rows and sum(rows.values()) == len(stems)


def test_the_model_sizes_are_the_released_ones():
    import json

    for size in ("base", "large"):
        cfg = errseg.get_cfg()
        cfg.merge_from_file(str(CONFIGS / f"errseg_convnext_{size}.yaml"))
        cfg.MODEL.CLIP.PRETRAINED = ""
        cfg.MODEL.DEVICE = "meta"
        with torch.device("meta"):
            model = errseg.build_model(cfg)
        shapes = json.loads((DATA / "parity" / f"official_state_dict_{size}.json").read_text())
        released = from_official({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
        assert released.keys() == model.state_dict().keys()
