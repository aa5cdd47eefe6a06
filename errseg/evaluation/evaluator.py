"""Detectron2's semantic-segmentation evaluator, for scores over the prompts of a vocabulary."""

import logging
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from torch import Tensor

from errseg.data.files import check_label_ids, check_label_size, read_label

__all__ = ["VocabularyEvaluator"]

# It prints every class's scores as one line, and warns of a score that is not asked for; evaluate() prints the table.
logging.getLogger(SemSegEvaluator.__module__).setLevel(logging.ERROR)


class VocabularyEvaluator(SemSegEvaluator):
    """mIoU and its kin of one data set, over classes present in the ground truth, on labels of the original size.

    Where several prompts ask for one class (the background of VOC), the class scores as its best prompt.
    """

    def __init__(self, dataset_name: str, distributed: bool = True):
        """
        Args:
            dataset_name: a registered data set.
            distributed: every process evaluates its share, and the main process all.
        """
        super().__init__(dataset_name, distributed, sem_seg_loading_fn=self._load_label)
        self._compute_boundary_iou = False  # no part of the paper's table
        metadata = MetadataCatalog.get(dataset_name)
        self.num_classes = len(metadata.stuff_classes)
        self.ignore_label = metadata.ignore_label
        self.prompt_classes = torch.tensor(metadata.get("prompt_classes", range(self.num_classes)))
        self._image = ("", (0, 0))  # file and size of the image whose label is loaded next

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Tensor]]) -> None:
        """Count the predictions of images.

        Args:
            inputs: their ``file_name``.
            outputs: ``sem_seg``, scores (prompts, H, W).

        Raises:
            UsageError: a label cannot be read, holds an unknown id, or has another size than its image.
        """
        for record, output in zip(inputs, outputs, strict=True):
            scores = self._class_scores(output["sem_seg"])
            self._image = (record["file_name"], tuple(scores.shape[-2:]))
            super().process([record], [{"sem_seg": scores}])

    def encode_json_sem_seg(self, sem_seg: np.ndarray, input_file_name: str) -> list[dict[str, Any]]:
        """Keep no predictions: memory does not grow with the number of images."""
        return []

    def _load_label(self, path: str, dtype: Any = int) -> np.ndarray:
        label = read_label(path)
        check_label_size(label, path, *self._image)
        check_label_ids(label, path, self.num_classes, self.ignore_label)
        return label.astype(dtype)

    def _class_scores(self, scores: Tensor) -> Tensor:
        """(prompts, H, W) to (classes, H, W)."""
        if len(self.prompt_classes) == self.num_classes:
            return scores
        classes = scores.new_full((self.num_classes, *scores.shape[1:]), -torch.inf)
        return classes.index_reduce(0, self.prompt_classes.to(scores.device), scores, "amax")
