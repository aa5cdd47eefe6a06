"""What the cases share: a tiny random model, built once, and its configuration as a file."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from detectron2.config import CfgNode
from PIL import Image

import errseg
from errseg.data import register_dataset_files
from errseg.engine import Trainer

__all__ = ["NAMES", "Bench"]

NAMES = ["cat", "dog", "sea"]
RUN = [
    *("OUTPUT_DIR", "run", "DATASETS.TRAIN", ("set.yaml",), "DATASETS.TEST", (), "SOLVER.MAX_ITER", 1),
    *("SOLVER.IMS_PER_BATCH", 1, "SOLVER.WARMUP_ITERS", 0, "INPUT.CROP.SIZE", [64, 64], "INPUT.MIN_SIZE_TRAIN", (64,)),
]
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"timm_model_name": "test_convnext", "timm_pool": "avg", "timm_proj": "linear", "image_size": 32},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


class Bench:
    """A tiny model and its files.

    Attributes:
        clip: the path of CLIP's configuration.
        tree: the differences from the default configuration.
        cfg: the configuration.
        segmenter: the model with NAMES.
        checkpoint: the file of a training run of one iteration.
    """

    def __init__(self, folder: Path):
        """
        Args:
            folder: the files are written there.
        """
        self.clip = folder / "clip.json"
        self.clip.write_text(json.dumps(CLIP))
        self.tree = {
            "MODEL": {
                "DEVICE": "cpu",
                "CLIP": {"NAME": str(self.clip)},
                "ESCF": {"DIM": 16, "NUM_LAYERS": 2, "NUM_HEADS": 2},
                "CRM": {"NUM_CLASSES_TRAIN": 4, "NUM_CLASSES_TEST": 0},
            },
            "INPUT": {"RESOLUTION_TRAIN": 64, "RESOLUTION_TEST": 64, "MIN_SIZE_TEST": 64},
            "DATALOADER": {"NUM_WORKERS": 0},
        }
        (folder / "good.yaml").write_text(json.dumps(self.tree))
        self.cfg = errseg.config.load_config(str(folder / "good.yaml"))
        torch.manual_seed(0)
        self.segmenter = errseg.Segmenter(errseg.build_model(self.cfg), self.cfg)
        self.segmenter.set_vocabulary(NAMES)
        self.segmenter(np.zeros((32, 32, 3), np.uint8))  # the first call creates what later calls share
        self.checkpoint = self._train(folder / "training")

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the model's state dict."""
        return {key: value.clone() for key, value in self.segmenter.model.state_dict().items()}

    def training_cfg(self, folder: Path) -> CfgNode:
        """The configuration of a run in the working folder on the data set that is written into ``folder``."""
        self.dataset(folder)
        (folder / "set.yaml").write_text(f"images: images\nlabels: labels\nnames: {json.dumps(NAMES)}\n")
        cfg = self.cfg.clone()
        cfg.defrost()
        cfg.merge_from_list(RUN)
        return cfg

    def _train(self, folder: Path) -> bytes:
        """The checkpoint of a run after one iteration with zero gradients: autograd must not run before a fork."""
        folder.mkdir()
        cfg, before = self.training_cfg(folder), os.getcwd()
        os.chdir(folder)
        try:
            register_dataset_files(["set.yaml"])
            trainer = Trainer(cfg)
            for parameter in trainer.model.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
            trainer.optimizer.step()
            trainer.scheduler.step()
            trainer.checkpointer.save("model_final", iteration=0)
        finally:
            os.chdir(before)
        return (folder / "run/model_final.pth").read_bytes()

    def dataset(self, folder: Path) -> None:
        """Write a data set of one pair of files: ``images/a.png`` and ``labels/a.png``, ids 0 to 2."""
        for kind, mode, size in (("images", "RGB", (24, 16)), ("labels", "L", (24, 16))):
            (folder / kind).mkdir(exist_ok=True)
            picture = Image.new(mode, size)
            if mode == "L":
                picture.putdata([(x // 8) % 3 for _ in range(16) for x in range(24)])
            picture.save(folder / kind / "a.png")
