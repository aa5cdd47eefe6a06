"""Data sets by name, augmentations, samplers and loaders."""

from . import transforms
from .build import build_detection_test_loader, build_detection_train_loader, get_detection_dataset_dicts
from .catalog import DatasetCatalog, Metadata, MetadataCatalog

__all__ = [
    "transforms", "DatasetCatalog", "Metadata", "MetadataCatalog", "build_detection_test_loader",
    "build_detection_train_loader", "get_detection_dataset_dicts",
]
