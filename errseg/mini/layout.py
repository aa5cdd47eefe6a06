"""The layout of the mini world on disk, which is that of the converted COCO-Stuff.

mini/world.json                                 seed and code version; if they change, all scenes are drawn again
mini/images/SPLIT/000000.jpg                    scenes
mini/annotations_detectron2/SPLIT/000000.png    labels: indices into the split's vocabulary, of 8 bits or 16
"""

import os
from pathlib import Path

__all__ = ["data_root", "image_folder", "label_folder"]


def data_root() -> Path:
    """The folder of all data sets: ``$DETECTRON2_DATASETS``, or ``datasets``."""
    return Path(os.environ.get("DETECTRON2_DATASETS") or "datasets").expanduser()


def image_folder(root: Path, split: str) -> Path:
    """The folder of a split's images, under the folder of all data sets."""
    return Path(root) / "mini" / "images" / split


def label_folder(root: Path, split: str) -> Path:
    """The folder of a split's labels, under the folder of all data sets."""
    return Path(root) / "mini" / "annotations_detectron2" / split
