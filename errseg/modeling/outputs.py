"""The output of a model that is called as those of other libraries are: ``outputs = model(pixel_values=…)``.

Shapes: B pictures, T names of the vocabulary, h x w the size of the scores.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .prediction import Prediction, ViewPrediction, dense_scores
from .vocabulary import EncodedNames

__all__ = ["SegmentationOutput"]


@dataclass(frozen=True, eq=False)
class SegmentationOutput:
    """Predictions of pictures, each seen as a whole.

    ``outputs.logits`` and ``outputs["logits"]`` are the same.

    Attributes:
        predictions: of batches of pictures of one size.
        encoded: the names that were segmented.
    """

    predictions: tuple[Prediction, ...]
    encoded: EncodedNames

    def __len__(self) -> int:
        return sum(len(each.scores) for each in self.predictions)

    def __getitem__(self, key: str) -> Tensor:
        if key != "logits":
            raise KeyError(key)
        return self.logits

    @property
    def logits(self) -> Tensor:
        """The scores of every name: (B, T, h, w). They are not negative, and the highest one wins.

        A name with synonyms has a channel for each of them. Names that the system dropped have its lowest score.

        Raises:
            RuntimeError: the pictures' scores differ in size.
        """
        count = len(self.encoded.names)
        return torch.stack([dense_scores([view], _size(view), count) for view in self._own_views()])

    def views(self, sizes: list[tuple[int, int]] | None = None) -> list[ViewPrediction]:
        """The prediction of each picture.

        Args:
            sizes: height and width of each picture; None: those of its scores.
        """
        own = list(self._own_views())
        if sizes is None:
            return own
        return [
            view._replace(rows=(0, height), cols=(0, width)) for view, (height, width) in zip(own, sizes, strict=True)
        ]

    def _own_views(self) -> Iterator[ViewPrediction]:
        for prediction in self.predictions:
            for index in range(len(prediction.scores)):
                yield prediction.of_whole(index)


def _size(view: ViewPrediction) -> tuple[int, int]:
    return view.rows[1], view.cols[1]
