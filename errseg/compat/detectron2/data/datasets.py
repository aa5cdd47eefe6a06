"""Data sets laid out as a folder of images and one of label maps."""

import logging
import os

from ..utils.file_io import PathManager

__all__ = ["load_sem_seg"]


def load_sem_seg(gt_root: str, image_root: str, gt_ext: str = "png", image_ext: str = "jpg") -> list[dict[str, str]]:
    """Pair images and label maps of the same name, in the order of the names.

    Args:
        gt_root: folder of the label maps: greyscale images whose values are class ids.
        image_root: folder of the images.
        gt_ext: extension of the label maps.
        image_ext: extension of the images.

    Returns:
        Records with ``file_name`` and ``sem_seg_file_name``. Files without a partner are left out, with a warning.
    """
    logger = logging.getLogger(__name__)
    images, labels = _files(image_root, image_ext), _files(gt_root, gt_ext)
    if not labels:
        raise AssertionError(f"No annotations (*.{gt_ext}) found in {gt_root}.")
    if images.keys() != labels.keys():
        alone = len(images.keys() ^ labels.keys())
        logger.warning(f"{alone} files of {image_root} and {gt_root} have no partner in the other and are left out.")
    stems = sorted(images.keys() & labels.keys())
    logger.info(f"Loaded {len(stems)} images with semantic segmentation from {image_root}")
    return [{"file_name": images[stem], "sem_seg_file_name": labels[stem]} for stem in stems]


def _files(root: str, extension: str) -> dict[str, str]:
    """Paths of ``root``'s files, by name without the extension."""
    suffix = "." + extension
    return {
        name[: -len(suffix)]: os.path.join(root, name) for name in PathManager.ls(root) if name.endswith(suffix)
    }
