"""An evaluator that holds one confusion matrix, and a few hundred bytes of each image for the bootstrap.

Shapes: T prompts, N classes, H x W the picture's size.
"""

from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from errseg.data.checksum import DataChecksum
from errseg.data.labels import LabelReader

from .bootstrap import BOOTSTRAP, Measured, intervals
from .interest import classes_of_interest, interest_scores
from .metrics import GROUND_TRUTH, scores_by_name, scores_of
from .per_image import ImageConfusions, unpack
from .predictions import PredictionStore
from .split import unseen_classes

__all__ = ["LabelMaps", "VocabularyEvaluator"]


class LabelMaps(nn.Module):
    """Wraps a model so that it returns label maps, which are smaller than the scores of all classes.

    A model without ``label_maps`` returns its scores. An image whose classes are stored is not predicted again.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.training = model.training  # Detectron2 restores this mode after the evaluation

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """
        Args:
            batched_inputs: inputs of the model, or records with ``classes``.

        Returns:
            For each image one of: ``classes`` (H, W) from the record; ``labels`` (H, W), ids of prompts; ``sem_seg``
            (T, H, W), scores.
        """
        unknown = [inputs for inputs in batched_inputs if "classes" not in inputs]
        if not unknown:
            predicted = []
        elif hasattr(self.model, "label_maps"):
            predicted = [{"labels": labels} for labels in self.model.label_maps(unknown)]
        else:
            predicted = self.model(unknown)
        predictions = iter(predicted)
        return [x if "classes" in x else next(predictions) for x in batched_inputs]


class VocabularyEvaluator(DatasetEvaluator):
    """mIoU, fwIoU, mACC and pACC of one data set, at the labels' original size.

    The scores are those of Detectron2's ``SemSegEvaluator``. A test set of a zero-shot split also has seen, unseen and
    harmonic mIoU; one with classes of interest has the means over these. A class may have several prompts (the
    background of VOC): a pixel of any of them counts as that class.

    Attributes:
        task: Detectron2's name of the task.
        unit: what is counted.
        options: those of the scores, for the record.
    """

    task, unit = "sem_seg", "pixels"

    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        store: PredictionStore | None = None,
        mean_over: str = GROUND_TRUTH,
    ):
        """
        Args:
            dataset_name: a registered data set.
            distributed: every process evaluates its share, and the main process adds up the counts of all.
            store: where predictions are saved; None: they are not saved.
            mean_over: TEST.MEAN_OVER, the classes that mIoU is the mean of.
        """
        metadata = MetadataCatalog.get(dataset_name)
        self.num_classes = len(metadata.stuff_classes)
        self.prompt_classes = torch.tensor(metadata.get("prompt_classes", range(self.num_classes)), dtype=torch.int32)
        self.read_label = LabelReader(dataset_name)
        self.dataset_name = dataset_name
        self.distributed = distributed
        self.store = store
        self.mean_over = mean_over
        self.options: dict[str, Any] = {"mean_over": mean_over}
        self.unseen = unseen_classes(dataset_name)
        self.interest = classes_of_interest(dataset_name)
        self.options |= {"classes_of_interest": self.interest} if self.interest else {}
        self._label_of: dict[str, str] = {}  # label file by image file, for records without ``sem_seg_file_name``
        self.reset()

    def reset(self) -> None:
        self.matrix = np.zeros((self.num_classes + 1,) * 2, dtype=np.int64)  # row: predicted, column: true
        self.checksum = DataChecksum()
        self.images = ImageConfusions(self.num_classes)

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count the predictions of images.

        Args:
            inputs: records with ``file_name``, and with ``sem_seg_file_name`` if the loader keeps it (Detectron2's
                loader does not).
            outputs: ``labels`` (H, W), ids of prompts; or ``sem_seg`` (T, H, W), scores; or ``classes`` (H, W).

        Raises:
            UsageError: a label cannot be read, holds an unknown id, or has another size than its image.
        """
        for record, output in zip(inputs, outputs, strict=True):
            predicted = self.classes(output)
            truth = self.truth(record, predicted.shape)
            confusion = self.confusion(predicted, truth)
            self.matrix += confusion
            self.images.add(self.checksum.add(record["file_name"], truth), confusion)
            if self.store and "classes" not in output:
                self.store.write(record, predicted)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """The scores over the images of all processes, ``{"sem_seg": {"mIoU": …}}``, in percent.

        Afterwards, the main process has the matrix, the checksum and the confusions of all images. The other processes
        return None.
        """
        if self.distributed:
            shares = comm.gather((self.matrix, self.checksum.state(), self.images.images))
            if not comm.is_main_process():
                return None
            self.reset()
            for matrix, state, images in shares:
                self.matrix += matrix
                self.images.images += images
                self.checksum.merge(DataChecksum(state))
        return {self.task: self.scores()}

    def scores(self) -> dict[str, float]:
        """The scores of what has been counted, by their names, in percent."""
        named = scores_by_name(self.matrix, self.unseen, self.mean_over)
        return named | interest_scores(self.matrix, self.interest, self.mean_over)

    def by_class(self) -> dict[str, list[Any]]:
        """For each class IoU and accuracy in percent, nan where no label map has the class, and true pixels."""
        scores = scores_of(self.matrix)
        return {"iou": scores.iou.tolist(), "acc": scores.acc.tolist(), "pixels": scores.pixels.tolist()}

    def spread(self) -> dict[str, Any]:
        """The entries of ``evaluation.json`` about the spread over images.

        Returns:
            ``intervals``: [low, high] in percent, or None, by score; ``bootstrap``: how they were drawn; ``per_image``:
            the confusions of each image.
        """
        packed = self.images.pack()
        images = unpack(packed, self.num_classes)
        found = intervals(Measured(images, self.unseen, self.mean_over, self.interest))
        return {
            "intervals": {score: each and list(each) for score, each in found.items()},
            "bootstrap": BOOTSTRAP,
            "per_image": packed,
        }

    def truth(self, record: dict[str, Any], size: tuple[int, ...]) -> np.ndarray:
        """(H, W) class ids of the label of an image, and the ignore label; see ``process`` for the errors."""
        return self.read_label(self._label_path(record), record["file_name"], size)

    def _label_path(self, record: dict[str, Any]) -> str:
        if "sem_seg_file_name" in record:
            return record["sem_seg_file_name"]
        if not self._label_of:
            records = DatasetCatalog.get(self.dataset_name)
            self._label_of = {each["file_name"]: each["sem_seg_file_name"] for each in records}
        return self._label_of[record["file_name"]]

    def classes(self, output: dict[str, Any]) -> np.ndarray:
        """(H, W) class ids on the CPU. Only these ids are copied from the device, not the scores."""
        if "classes" in output:
            return output["classes"]
        labels = output["labels"] if "labels" in output else output["sem_seg"].argmax(dim=0)
        self.prompt_classes = self.prompt_classes.to(labels.device)
        return self.prompt_classes[labels].cpu().numpy()

    def confusion(self, predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """(N + 1, N + 1) pixels of an image: row: predicted, column: true."""
        size = self.num_classes + 1
        truth = np.where(truth == self.read_label.ignore_label, self.num_classes, truth)
        pairs = size * predicted.ravel().astype(np.int64) + truth.ravel()
        return np.bincount(pairs, minlength=size * size).reshape(size, size)
