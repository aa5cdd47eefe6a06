"""Predictions as annotations of other tools: COCO, LabelMe, CVAT, Label Studio.

They are made of the label maps and JSON files of a finished job, so an interrupted job needs no parts of them.
"""

from .collect import FORMATS, PER_PICTURE, Target, picture_formats, remove_annotations, write_annotations

__all__ = ["FORMATS", "PER_PICTURE", "Target", "picture_formats", "remove_annotations", "write_annotations"]
