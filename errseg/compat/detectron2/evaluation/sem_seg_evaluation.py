"""Metrics of semantic segmentation: intersection over union and accuracies, from one confusion matrix."""

import itertools
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from PIL import Image

from ..data import DatasetCatalog, MetadataCatalog
from ..utils import comm
from ..utils.file_io import PathManager
from .evaluator import DatasetEvaluator

__all__ = ["SemSegEvaluator", "load_image_into_numpy_array"]


def load_image_into_numpy_array(
    filename: str, copy: bool = False, dtype: np.dtype | type | None = None
) -> np.ndarray:
    """The pixels of an image file, (H, W) for label maps of 8 or 16 bits."""
    with PathManager.open(filename, "rb") as file:
        return np.array(Image.open(file), copy=copy or None, dtype=dtype)


class SemSegEvaluator(DatasetEvaluator):
    """Evaluates outputs ``{"sem_seg": (T, height, width) scores}`` against the label maps of a data set.

    Args:
        dataset_name: registered, with ``stuff_classes`` and ``ignore_label`` in its metadata.
        distributed: gather from all processes; else each evaluates what it has.
        output_dir: for ``sem_seg_predictions.json`` (COCO's run-length encoding) and ``sem_seg_evaluation.pth``.
        sem_seg_loading_fn: reads a label map: (file name, dtype=) to (height, width).
        num_classes: of no use any more, it is the number of ``stuff_classes``.
        ignore_label: of no use any more, it is the metadata's.
    """

    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        sem_seg_loading_fn: Callable[..., np.ndarray] = load_image_into_numpy_array,
        num_classes: int | None = None,
        ignore_label: int | None = None,
    ) -> None:
        self._logger = logging.getLogger(__name__)
        self._dataset_name = dataset_name
        self._distributed = distributed
        self._output_dir = output_dir
        self._cpu_device = torch.device("cpu")
        self.sem_seg_loading_fn = sem_seg_loading_fn
        self.input_file_to_gt_file = {
            record["file_name"]: record["sem_seg_file_name"] for record in DatasetCatalog.get(dataset_name)
        }
        meta = MetadataCatalog.get(dataset_name)
        to_contiguous: Mapping[int, int] | None = meta.get("stuff_dataset_id_to_contiguous_id")
        self._contiguous_id_to_dataset_id = to_contiguous and {v: k for k, v in to_contiguous.items()}
        self._class_names = meta.stuff_classes
        self._num_classes = len(meta.stuff_classes)
        if num_classes not in (None, self._num_classes):
            raise AssertionError(f"num_classes={num_classes}, but {dataset_name} has {self._num_classes} classes.")
        self._ignore_label = meta.ignore_label if ignore_label is None else ignore_label
        self._compute_boundary_iou = self._num_classes < np.iinfo(np.uint8).max and _cv2() is not None

    def reset(self) -> None:
        # Row: predicted, column: true; the last of each: ignored.
        self._conf_matrix = np.zeros((self._num_classes + 1,) * 2, dtype=np.int64)
        self._b_conf_matrix = np.zeros_like(self._conf_matrix)
        self._predictions: list[dict[str, Any]] = []

    def process(self, inputs: list[dict], outputs: list[dict[str, torch.Tensor]]) -> None:
        for record, output in zip(inputs, outputs, strict=True):
            predicted = output["sem_seg"].argmax(dim=0).to(self._cpu_device).numpy()
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
            self._conf_matrix += self._confusion(predicted, truth)
            if self._compute_boundary_iou:
                self._b_conf_matrix += self._confusion(_boundary(predicted), _boundary(truth))
            if self._output_dir:
                self._predictions.extend(self.encode_json_sem_seg(predicted, record["file_name"]))

    def _confusion(self, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
        n = self._num_classes + 1
        pairs = n * predicted.reshape(-1).astype(np.int64) + truth.reshape(-1)
        return np.bincount(pairs, minlength=n * n).reshape(n, n)

    def evaluate(self) -> OrderedDict | None:
        """Metrics in percent: ``mIoU``, ``fwIoU`` (weighted by frequency), ``mACC``, ``pACC``, and of each class
        ``IoU-`` and ``ACC-``, nan where the class is not in the label maps; with OpenCV and fewer than 255 classes
        also ``BoundaryIoU-`` and its minimum with IoU.
        """
        if self._distributed:
            comm.synchronize()
            conf_matrices = comm.gather(self._conf_matrix)
            b_conf_matrices = comm.gather(self._b_conf_matrix)
            predictions = comm.gather(self._predictions)
            if not comm.is_main_process():
                return None
            self._conf_matrix = sum(conf_matrices)
            self._b_conf_matrix = sum(b_conf_matrices)
            self._predictions = list(itertools.chain.from_iterable(predictions))

        results = self._metrics()
        if self._output_dir:
            PathManager.mkdirs(self._output_dir)
            self._write("sem_seg_predictions.json", "w", lambda file: json.dump(self._predictions, file))
            self._write("sem_seg_evaluation.pth", "wb", lambda file: torch.save(results, file))
        results = OrderedDict({"sem_seg": results})
        self._logger.info(results)
        return results

    def _metrics(self) -> dict[str, float]:
        matrix = self._conf_matrix[:-1, :-1].astype(np.float64)
        tp, true, predicted = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
        present = true > 0
        acc = np.full(self._num_classes, np.nan)
        acc[present] = tp[present] / true[present]
        iou = np.full(self._num_classes, np.nan)
        iou[present] = tp[present] / (true + predicted - tp)[present]
        boundary = self._b_conf_matrix[:-1, :-1].astype(np.float64)
        b_tp = boundary.diagonal()
        b_union = boundary.sum(axis=0) + boundary.sum(axis=1) - b_tp
        b_iou = np.full(self._num_classes, np.nan)
        b_iou[b_union > 0] = b_tp[b_union > 0] / b_union[b_union > 0]

        percent: dict[str, float] = {
            "mIoU": 100 * iou[present].mean() if present.any() else np.nan,
            "fwIoU": 100 * (iou[present] * true[present]).sum() / true.sum() if present.any() else np.nan,
        }
        for index, name in enumerate(self._class_names):
            percent[f"IoU-{name}"] = 100 * iou[index]
            if self._compute_boundary_iou:
                percent[f"BoundaryIoU-{name}"] = 100 * b_iou[index]
                percent[f"min(IoU, B-Iou)-{name}"] = 100 * min(iou[index], b_iou[index])
        percent["mACC"] = 100 * acc[present].mean() if present.any() else np.nan
        percent["pACC"] = 100 * tp.sum() / true.sum() if present.any() else np.nan
        percent.update({f"ACC-{name}": 100 * value for name, value in zip(self._class_names, acc, strict=True)})
        return percent

    def _write(self, name: str, mode: str, write: Callable[[Any], None]) -> None:
        path = os.path.join(self._output_dir, name)
        with PathManager.open(path + ".tmp", mode) as file:
            write(file)
        os.replace(path + ".tmp", path)

    def encode_json_sem_seg(self, sem_seg: np.ndarray, input_file_name: str) -> list[dict[str, Any]]:
        """Each class of a label map as a binary mask in COCO's format."""
        records = []
        for label in np.unique(sem_seg).tolist():
            rle = mask_util.encode(np.asfortranarray(sem_seg == label, dtype=np.uint8))
            rle["counts"] = rle["counts"].decode("utf-8")
            if self._contiguous_id_to_dataset_id is not None:
                label = self._contiguous_id_to_dataset_id[label]
            records.append({"file_name": input_file_name, "category_id": int(label), "segmentation": rle})
        return records


def _cv2() -> Any:
    try:
        import cv2
    except ImportError:
        return None
    return cv2


def _boundary(labels: np.ndarray, dilation_ratio: float = 0.02) -> np.ndarray:
    """A label map less its erosion by a share of the image's diagonal: zero away from edges (Cheng et al., 2021).

    Erosion takes the least label around a pixel, so that what is left at edges is a difference of labels.
    """
    cv2 = _cv2()
    height, width = labels.shape
    radius = max(int(round(dilation_ratio * np.hypot(height, width))), 1)
    labels = labels.astype(np.uint8)
    padded = cv2.copyMakeBorder(labels, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)  # the image's border is an edge
    eroded = cv2.erode(padded, np.ones((3, 3), dtype=np.uint8), iterations=radius)
    return labels - eroded[1:-1, 1:-1]
