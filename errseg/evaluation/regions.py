"""The evaluation of a system that classifies regions: the share of regions whose class is among the best names.

Shapes: T prompts, N classes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import Tensor

from errseg.data.checksum import DataChecksum

from .metrics import region_scores
from .split import unseen_classes

__all__ = ["BEST", "RegionEvaluator"]

BEST = 5  # names


class RegionEvaluator(DatasetEvaluator):
    """Top-1 and top-5 accuracy of one data set's regions.

    Of equal logits, that of the true class counts as the better one for top-5, and the first one for top-1. A class may
    have several prompts (the background of VOC): its logit is the highest of theirs.
    """

    task, unit = "classification", "regions"  # see ``VocabularyEvaluator``

    def __init__(self, dataset_name: str, distributed: bool = True):
        """
        Args:
            dataset_name: a registered data set.
            distributed: every process evaluates its share, and the main process adds up the counts of all.
        """
        metadata = MetadataCatalog.get(dataset_name)
        self.num_classes = len(metadata.stuff_classes)
        self.prompt_classes = torch.tensor(metadata.get("prompt_classes", range(self.num_classes)))
        self.distributed = distributed
        self.options: dict[str, Any] = {}
        self.unseen: Sequence[int] = unseen_classes(dataset_name)
        self.reset()

    def reset(self) -> None:
        self.matrix = np.zeros((self.num_classes + 1,) * 2, dtype=np.int64)  # row: predicted, column: true
        self.among_best = np.zeros(self.num_classes, dtype=np.int64)  # regions of each class
        self.checksum = DataChecksum()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count the predictions of regions.

        Args:
            inputs: records with ``file_name`` and ``class_id``.
            outputs: ``classification`` (T,), logits of the prompts.
        """
        for record, output in zip(inputs, outputs, strict=True):
            logits, true = self._of_classes(output["classification"]), record["class_id"]
            self.matrix[int(logits.argmax()), true] += 1
            self.among_best[true] += int((logits > logits[true]).sum()) < BEST
            self.checksum.add(record["file_name"], np.array([true]))

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """The scores over the regions of all processes, ``{"classification": {"top1": …}}``, in percent.

        Afterwards, the counts of the main process are those of all regions. The other processes return None.
        """
        if self.distributed:
            shares = comm.gather((self.matrix, self.among_best, self.checksum.state()))
            if not comm.is_main_process():
                return None
            self.reset()
            for matrix, among_best, state in shares:
                self.matrix += matrix
                self.among_best += among_best
                self.checksum.merge(DataChecksum(state))
        return {self.task: self.scores()}

    def scores(self) -> dict[str, float]:
        """The scores of what has been counted, by their names, in percent."""
        return region_scores(*self._hits(), self.unseen)

    def spread(self) -> dict[str, Any]:
        """No entries: intervals are of the scores of label maps."""
        return {}

    def by_class(self) -> dict[str, list[Any]]:
        """For each class the shares of its regions in percent, nan where it has none, and their number."""
        top1, top5, regions = self._hits()
        with np.errstate(invalid="ignore"):
            return {
                "top1_of_class": (100 * top1 / regions).tolist(),
                "top5_of_class": (100 * top5 / regions).tolist(),
                "regions_of_class": regions.tolist(),
            }

    def _hits(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Each (N,): regions whose class is the best name, those whose class is among the best, and all of them."""
        counted = self.matrix[:-1, :-1]
        return counted.diagonal(), self.among_best, counted.sum(axis=0)

    def _of_classes(self, logits: Tensor) -> Tensor:
        """(T,) logits of prompts -> (N,) logits of classes, on the CPU."""
        classes = torch.full((self.num_classes,), -torch.inf)
        return classes.scatter_reduce(0, self.prompt_classes, logits.detach().float().cpu(), "amax")
