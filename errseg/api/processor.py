"""The interface that transformers has for segmentation, without depending on it.

inputs = segmenter.processor(images, return_tensors="pt")
outputs = segmenter.model(**inputs)
maps = segmenter.processor.post_process_semantic_segmentation(outputs, target_sizes=[(480, 640)])
"""

from collections import UserDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from errseg.errors import UsageError, short
from errseg.modeling.outputs import SegmentationOutput
from errseg.modeling.prediction import labels_and_confidences

from .images import Picture, is_single

if TYPE_CHECKING:
    from .segmenter import Segmenter

__all__ = ["Inputs", "Processor"]

PIXELS = "pixel_values"


class Inputs(UserDict):
    """The inputs of a model, by name; also as attributes. ``model(**inputs)`` passes them on."""

    def __getattr__(self, name: str) -> Any:
        if name == "data" or name not in self.data:
            raise AttributeError(name)
        return self.data[name]

    def to(self, device: str | torch.device) -> "Inputs":
        """The inputs on another device."""
        values = self[PIXELS]
        moved = values.to(device) if isinstance(values, Tensor) else [each.to(device) for each in values]
        return Inputs({PIXELS: moved})


class Processor:
    """Turns pictures into the inputs of a segmenter's model, and its outputs into label maps."""

    def __init__(self, segmenter: "Segmenter"):
        self.segmenter = segmenter

    def __call__(self, images: Picture | Iterable[Picture], return_tensors: str | None = "pt") -> Inputs:
        """Read, resize and normalise pictures, as for a prediction.

        Args:
            images: a picture (path, PIL image, (H, W, 3) uint8 RGB array), or several.
            return_tensors: "pt": a tensor (B, 3, h, w), which needs pictures that the model sees at one size; None: a
                list of tensors (3, h, w).

        Returns:
            ``{"pixel_values": …}``, float32 on the model's device.

        Raises:
            UsageError: a picture cannot be read; the pictures differ in size; the model sees several views of a
                picture (TEST.SCALES, TEST.FLIP, TEST.SLIDING_WINDOW), for which this interface has no place.
        """
        if return_tensors not in ("pt", None):
            raise UsageError(f"return_tensors = {short(repr(return_tensors))}; give 'pt', or None for a list.")
        pictures: Any = [images] if is_single(images) else images
        seen = [self._see(picture) for picture in pictures]
        if not seen:
            raise UsageError("There are no pictures; give at least one.")
        if return_tensors is None:
            return Inputs({PIXELS: [each[0] for each in seen]})
        sizes = list(dict.fromkeys(tuple(each.shape[-2:]) for each in seen))
        if len(sizes) > 1:
            raise UsageError(
                f"The model sees these pictures at {len(sizes)} sizes, such as {sizes[0]} and {sizes[1]}; add "
                "return_tensors=None, which gives a list, or process them one by one."
            )
        return Inputs({PIXELS: torch.cat(seen)})

    @torch.no_grad()
    def post_process_semantic_segmentation(
        self, outputs: SegmentationOutput, target_sizes: Sequence[tuple[int, int]] | Tensor | None = None
    ) -> list[Tensor]:
        """The label map of each picture: (H, W) int64 on the CPU, indices into ``segmenter.names``.

        They are those of ``segmenter(images)`` where the sizes are the pictures' own.

        Args:
            outputs: of ``segmenter.model(**inputs)``, with the vocabulary that is still set.
            target_sizes: (height, width) of each label map; None: the size of the scores.

        Raises:
            UsageError: there are not as many sizes as pictures, a size has no pixel, or other names have been set.
        """
        choice = self.segmenter._chosen()
        if outputs.encoded.names != choice.encoded(self.segmenter.model).names:
            raise UsageError("The outputs are of other names than those that are set now; call the model again.")
        sizes = None if target_sizes is None else [_size(each) for each in target_sizes]
        if sizes is not None and len(sizes) != len(outputs):
            raise UsageError(f"target_sizes has {len(sizes)} sizes for {len(outputs)} pictures; give one for each.")
        maps = []
        for view in outputs.views(sizes):
            labels, _ = labels_and_confidences([view], (view.rows[1], view.cols[1]))
            maps.append(choice.classes[labels.cpu()].long())
        return maps

    def _see(self, picture: Picture) -> Tensor:
        """The model's input for a picture: (1, 3, h, w)."""
        model, image = self.segmenter.model, self.segmenter.inputs(picture)["image"]
        views = model.views.of(*image.shape[-2:])
        if len(views) > 1:
            raise UsageError(
                f"The model sees {len(views)} views of a picture (TEST.SCALES, TEST.FLIP, TEST.SLIDING_WINDOW), and "
                "this interface has one; call the segmenter instead, or turn them off."
            )
        return model.see(image, views[0])


def _size(size: Any) -> tuple[int, int]:
    """A size as whole numbers."""
    try:
        height, width = (int(length) for length in size)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise UsageError(f"target_sizes has {short(repr(size))}; give the height and width of each label map.")
    return height, width
