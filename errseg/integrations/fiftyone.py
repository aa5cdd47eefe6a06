"""A segmenter as a model of FiftyOne.

    from errseg.integrations.fiftyone import FiftyOneModel

    model = FiftyOneModel(segmenter)
    dataset.apply_model(model, label_field="errseg", batch_size=4)
    dataset.mask_targets["errseg"] = model.mask_targets
    dataset.save()

The import of this module imports FiftyOne, which looks for its database.
"""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from errseg.api import Result, Segmenter
from errseg.api.result import check_confidence
from errseg.errors import UsageError, short

from .masks import check_names, label_mask, mask_targets

try:
    from fiftyone.core.labels import Heatmap, Segmentation
    from fiftyone.core.models import Model
except ImportError as error:
    raise UsageError(
        f"FiftyOne cannot be imported ({short(error, 200).rstrip('.')}); install it: pip install 'errseg[fiftyone]'."
    ) from error
except Exception as error:  # it has classes of its own for a database that is missing or too old
    raise UsageError(
        f"FiftyOne does not start ({short(error, 200).rstrip('.')}); give it a MongoDB with FIFTYONE_DATABASE_URI."
    ) from error

__all__ = ["FiftyOneModel"]


class FiftyOneModel(Model):
    """Gives each picture a ``fiftyone.Segmentation``. Its mask holds the index of each pixel's name, from 1 on.

    A pixel of the value 0 has no name, and FiftyOne does not show it. The options ``confidence_thresh`` and ``classes``
    of ``apply_model`` count: pixels with a lower confidence, and pixels of other names, become 0.

    Args:
        segmenter: with a vocabulary. A vocabulary that it gets later counts from then on.
        min_confidence: 0 to 1; pixels below it become 0. 0: every pixel has its best name.
        confidences: also give a ``fiftyone.Heatmap`` of the confidences, in steps of 1/255. A picture then has two
            labels. With ``label_field="errseg"``, they are the fields ``errseg_labels`` and ``errseg_confidence``.

    Attributes:
        config: what ``apply_model`` changes for a run: ``confidence_thresh`` and ``filter_classes``.

    Raises:
        UsageError: ``min_confidence`` is not from 0 to 1.
    """

    def __init__(self, segmenter: Segmenter, min_confidence: float = 0.0, confidences: bool = False):
        check_confidence(min_confidence)
        self.segmenter = segmenter
        self.confidences = confidences
        self.config = SimpleNamespace(confidence_thresh=min_confidence, filter_classes=None)

    @property
    def mask_targets(self) -> dict[int, str]:
        """The name of each value of a mask, for ``dataset.mask_targets[field]``."""
        return mask_targets(self.segmenter.names)

    # ---- FiftyOne's interface ----

    def __enter__(self) -> "FiftyOneModel":
        """Check the options of a run before its first picture: FiftyOne only logs what fails at a picture.

        Raises:
            RuntimeError: no vocabulary is set.
            UsageError: a mask cannot hold so many names, or an option of ``apply_model`` is invalid.
        """
        check_confidence(self.config.confidence_thresh)
        self.segmenter.encoded  # noqa: B018 - it raises without a vocabulary
        check_names(self.segmenter.names, self.config.filter_classes)
        return self

    @property
    def media_type(self) -> str:
        return "image"

    @property
    def ragged_batches(self) -> bool:
        """False: ``predict_all`` takes pictures of several sizes."""
        return False

    @property
    def transforms(self) -> None:
        """None: the segmenter resizes pictures itself."""
        return None

    @property
    def preprocess(self) -> bool:
        return False

    @preprocess.setter
    def preprocess(self, value: bool) -> None:
        """No effect: there are no transforms."""

    def predict(self, arg: np.ndarray) -> Any:
        """The segmentation of a picture.

        Args:
            arg: (H, W, 3) uint8 RGB; a path or a PIL image will do too.

        Returns:
            A ``Segmentation`` of (H, W); with ``confidences``, ``{"labels": Segmentation, "confidence": Heatmap}``.

        Raises:
            RuntimeError: no vocabulary is set.
            UsageError: the picture cannot be read.
        """
        return self._labels(self.segmenter(arg))

    def predict_all(self, args: Iterable[np.ndarray]) -> list[Any]:
        """The segmentations of pictures, which go through the model together where its input size allows it."""
        pictures = list(args)
        results = self.segmenter(pictures, batch_size=max(len(pictures), 1))
        return [self._labels(result) for result in results]

    def _labels(self, result: Result) -> Any:
        labels = Segmentation(mask=label_mask(result, self.config.confidence_thresh, self.config.filter_classes))
        if not self.confidences:
            return labels
        steps = np.rint(255 * result.scores).astype(np.uint8)
        return {"labels": labels, "confidence": Heatmap(map=steps, range=[0, 255])}
