"""Records from folders."""

import logging
import os

from ..outside import outside
from ..utils.file_io import PathManager

__all__ = ["load_sem_seg"]

__getattr__ = outside(globals())


def load_sem_seg(gt_root: str, image_root: str, gt_ext: str = "png", image_ext: str = "jpg") -> list[dict[str, str]]:
    """Records of the images that have a label map of the same name, sorted by name.

    Args:
        gt_root: folder of label maps.
        image_root: folder of images.
        gt_ext: extension of label maps.
        image_ext: extension of images.
    """
    folders = ((image_root, image_ext), (gt_root, gt_ext))
    images, labels = (
        {name[: -len(end)]: os.path.join(root, name) for name in PathManager.ls(root) if name.endswith(end)}
        for root, end in folders
    )
    if not labels:
        raise AssertionError(f"No annotations found in {gt_root}.")
    both = sorted(images.keys() & labels.keys())
    logger = logging.getLogger(__name__)
    if not len(images) == len(labels) == len(both):
        logger.warning(
            f"{image_root} has {len(images)} images and {gt_root} has {len(labels)} label maps: the {len(both)} names "
            "that they share are used."
        )
    logger.info(f"Loaded {len(both)} images with semantic segmentation from {image_root}")
    return [{"file_name": images[name], "sem_seg_file_name": labels[name]} for name in both]
