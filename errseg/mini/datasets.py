"""Registration of the mini world in Detectron2's catalogues, as ``mini_{train,seen,unseen,large}_sem_seg``."""

from pathlib import Path

from errseg.data.benchmarks import register_sem_seg

from .layout import data_root, image_folder, label_folder
from .world import HELD_OUT, SPLITS, VOCABULARIES

__all__ = ["DATASET_NAMES", "register_mini"]

DATASET_NAMES = {split: f"mini_{split}_sem_seg" for split in SPLITS}
NUM_CLASSES_TEST = {"train": 24, "seen": 24, "unseen": 24, "large": 32}  # K


def register_mini(root: str | Path | None = None) -> None:
    """Register the four splits. Their files need not exist yet. The held-out names count as unseen classes.

    Args:
        root: the folder of all data sets; None: ``$DETECTRON2_DATASETS``, or ``datasets``.
    """
    root = data_root() if root is None else root
    for split, name in DATASET_NAMES.items():
        register_sem_seg(
            name,
            image_folder(root, split),
            label_folder(root, split),
            VOCABULARIES[split],
            ignore_label=255 if len(VOCABULARIES[split]) < 255 else 65535,
            num_classes_test=NUM_CLASSES_TEST[split],
            paper_name=f"mini {split}",
            unseen_classes=[i for i, each in enumerate(VOCABULARIES[split]) if each in HELD_OUT],
            remedy="draw it with errseg mini draw",
        )
