"""Data sets, augmentation and loaders."""

from .benchmarks import BENCHMARKS, register_all, register_sem_seg, require_dataset
from .build import build_test_loader, build_train_loader, images_per_step, starting_at
from .checksum import DataChecksum
from .custom import apply_dataset_option, check_labels, dataset_vocabulary, is_dataset_file, register_dataset_files
from .labels import LabelReader
from .mapper import SemSegMapper

__all__ = [
    "BENCHMARKS",
    "DataChecksum",
    "LabelReader",
    "SemSegMapper",
    "apply_dataset_option",
    "build_test_loader",
    "build_train_loader",
    "check_labels",
    "dataset_vocabulary",
    "images_per_step",
    "is_dataset_file",
    "register_all",
    "register_dataset_files",
    "register_sem_seg",
    "require_dataset",
    "starting_at",
]
