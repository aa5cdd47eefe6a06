"""Data sets, augmentation and loaders."""

from .benchmarks import BENCHMARKS, register_all, register_sem_seg, require_dataset
from .build import build_test_loader, build_train_loader, images_per_step
from .mapper import SemSegMapper

__all__ = [
    "BENCHMARKS",
    "SemSegMapper",
    "build_test_loader",
    "build_train_loader",
    "images_per_step",
    "register_all",
    "register_sem_seg",
    "require_dataset",
]
