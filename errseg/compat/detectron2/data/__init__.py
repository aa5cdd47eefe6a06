"""Data sets by name, mapping of their records to model inputs, samplers and loaders."""

from . import transforms
from .build import (
    build_batch_data_loader,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from .catalog import DatasetCatalog, Metadata, MetadataCatalog
from .common import DatasetFromList, MapDataset
from .dataset_mapper import DatasetMapper

__all__ = [
    "transforms", "DatasetCatalog", "Metadata", "MetadataCatalog", "DatasetFromList", "MapDataset", "DatasetMapper",
    "build_batch_data_loader", "build_detection_test_loader", "build_detection_train_loader",
    "get_detection_dataset_dicts",
]
