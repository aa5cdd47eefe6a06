"""Metrics of semantic segmentation: intersection over union and accuracies, from one confusion matrix."""

import logging
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from ..data import DatasetCatalog, MetadataCatalog
from ..outside import outside
from ..utils import comm
from ..utils.file_io import PathManager
from .evaluator import DatasetEvaluator

__getattr__ = outside(globals())


def load_image_into_numpy_array(filename: str, dtype: np.dtype | type | None = None) -> np.ndarray:
    """The pixels of an image file, (H, W) for label maps of 8 or 16 bits."""
    with PathManager.open(filename, "rb") as file:
        return np.array(Image.open(file), dtype=dtype)


class SemSegEvaluator(DatasetEvaluator):
    """Evaluates outputs ``{"sem_seg": (T, height, width) scores}`` against the label maps of a data set.

    Detectron2's boundary metrics, which it adds where OpenCV is installed, and its files of predictions are not here.

    Args:
        dataset_name: registered, with ``stuff_classes`` and ``ignore_label`` in its metadata.
        distributed: gather from all processes; else each evaluates what it has.
        sem_seg_loading_fn: reads a label map: (file name, dtype=) to (height, width).
    """

    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        *,
        sem_seg_loading_fn: Callable[..., np.ndarray] = load_image_into_numpy_array,
    ) -> None:
        self._dataset_name = dataset_name
        self._distributed = distributed
        self.sem_seg_loading_fn = sem_seg_loading_fn
        self.input_file_to_gt_file = {
            record["file_name"]: record["sem_seg_file_name"] for record in DatasetCatalog.get(dataset_name)
        }
        meta = MetadataCatalog.get(dataset_name)
        self._class_names = meta.stuff_classes
        self._num_classes = len(meta.stuff_classes)
        self._ignore_label = meta.ignore_label

    def reset(self) -> None:
        # Row: predicted, column: true; the last of each: ignored.
        self._conf_matrix = np.zeros((self._num_classes + 1,) * 2, dtype=np.int64)

    def process(self, inputs: list[dict], outputs: list[dict[str, torch.Tensor]]) -> None:
        n = self._num_classes + 1
        for record, output in zip(inputs, outputs, strict=True):
            predicted = output["sem_seg"].argmax(dim=0).cpu().numpy()
            gt_file = self.input_file_to_gt_file[record["file_name"]]
            truth = np.array(self.sem_seg_loading_fn(gt_file, dtype=int))
            truth[truth == self._ignore_label] = self._num_classes
            if truth.shape != predicted.shape:
                raise ValueError(f"{gt_file} is {truth.shape} pixels and the prediction {predicted.shape}.")
            if truth.min() < 0 or truth.max() > self._num_classes:
                raise ValueError(
                    f"{gt_file} has the label {truth.max()}, but {self._dataset_name} has {self._num_classes} classes "
                    f"and ignores {self._ignore_label}: correct the label map or the metadata."
                )
            pairs = n * predicted.reshape(-1).astype(np.int64) + truth.reshape(-1)
            self._conf_matrix += np.bincount(pairs, minlength=n * n).reshape(n, n)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Metrics in percent: ``mIoU``, ``fwIoU`` (weighted by frequency), ``mACC``, ``pACC``, and of each class
        ``IoU-`` and ``ACC-``, nan where the class is not in the label maps; None in all processes but the main one.
        """
        if self._distributed:
            comm.synchronize()
            matrices = comm.gather(self._conf_matrix)
            if not comm.is_main_process():
                return None
            self._conf_matrix = sum(matrices)

        results = self._metrics()
        logging.getLogger(__name__).info({"sem_seg": results})
        return {"sem_seg": results}

    def _metrics(self) -> dict[str, float]:
        matrix = self._conf_matrix[:-1, :-1].astype(np.float64)
        tp, true, predicted = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
        with np.errstate(invalid="ignore"):  # 0 / 0 is nan: a class, or all of them, that no label map has
            acc = tp / true
            iou = np.where(true > 0, tp / (true + predicted - tp), np.nan)
            present = true > 0
            metrics = {
                "mIoU": iou[present].sum() / present.sum(),
                "fwIoU": (iou[present] * true[present]).sum() / true.sum(),
                **{f"IoU-{name}": value for name, value in zip(self._class_names, iou, strict=True)},
                "mACC": acc[present].sum() / present.sum(),
                "pACC": tp.sum() / true.sum(),
                **{f"ACC-{name}": value for name, value in zip(self._class_names, acc, strict=True)},
            }
        return {name: 100 * value for name, value in metrics.items()}
