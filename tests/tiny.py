"""Tiny random models of each system behind the Python interface, whose predictions differ from pixel to pixel."""

import numpy as np
import torch
from PIL import Image

import errseg
from errseg.modeling import systems
from tests.conftest import DATA, NAMES, TINY_SYSTEMS
from tests.modeling.deop.conftest import spread

SYSTEMS = [system.meta_architecture for system in systems() if system.released]  # not the stages of a training


def tiny_cfg_of(system: str, *changes):
    """The configuration of a tiny model of a system, given by its meta-architecture."""
    cfg = errseg.get_cfg()
    size = ["MODEL.DEVICE", "cpu", "DATALOADER.NUM_WORKERS", 0]
    size += ["INPUT.RESOLUTION_TRAIN", 64, "INPUT.RESOLUTION_TEST", 64, "INPUT.MIN_SIZE_TEST", 64]
    if system == "ERRSeg":
        size += ["MODEL.CLIP.NAME", str(DATA / "tiny_clip.json"), "MODEL.ESCF.DIM", 32, "MODEL.ESCF.NUM_LAYERS", 2]
    cfg.merge_from_list([*size, "MODEL.META_ARCHITECTURE", system, *TINY_SYSTEMS[system], *changes])
    return cfg


def tiny_model(cfg):
    """A seeded model of a tiny configuration. The masks of DeOP differ from one another."""
    torch.manual_seed(0)
    model = errseg.build_model(cfg)
    if cfg.MODEL.META_ARCHITECTURE == "DeOP":
        model.set_vocabulary(NAMES)
        with torch.no_grad():
            spread(model).proposals.predictor.mask_embed.layers[2].weight.mul_(8)
            model.proposals.predictor.query_embed.weight.mul_(4)
    return model


def tiny_segmenter(system: str, *changes) -> errseg.Segmenter:
    """A segmenter of a tiny model, without a vocabulary."""
    cfg = tiny_cfg_of(system, *changes)
    return errseg.Segmenter(tiny_model(cfg), cfg)


def write_run(folder, system: str, *changes):
    """Write the folder of a run that has a tiny model; returns it."""
    cfg = tiny_cfg_of(system, *changes)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": tiny_model(cfg).state_dict()}, folder / "model_final.pth")
    (folder / "config.yaml").write_text(cfg.dump())
    return folder


def blobs(height: int = 50, width: int = 70, seed: int = 3) -> np.ndarray:
    """A picture of soft blobs: (height, width, 3) uint8."""
    cells = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return np.asarray(cells.resize((width, height), Image.Resampling.BICUBIC))
