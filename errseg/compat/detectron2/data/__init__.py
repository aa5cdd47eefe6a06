"""Data sets by name, augmentations, samplers and loaders."""

from ..outside import outside
from . import transforms
from .build import build_detection_test_loader, build_detection_train_loader, get_detection_dataset_dicts
from .catalog import DatasetCatalog, Metadata, MetadataCatalog

__getattr__ = outside(globals())

__all__ = [
    "transforms",
    "DatasetCatalog",
    "Metadata",
    "MetadataCatalog",
    "build_detection_test_loader",
    "build_detection_train_loader",
    "get_detection_dataset_dicts",
]
