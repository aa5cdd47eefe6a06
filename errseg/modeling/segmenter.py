"""The base class of every system: names, precision, device, views, and the path from images to label maps.

The class of a system adds ``from_config``, the encoding of names, ``segment`` and ``losses``.

Shapes: B images or views, T names of the vocabulary, K names kept, D text dimension, H x W an image's size.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ArgumentError, UsageError
from .layers import resize
from .num_kept import NumKept
from .outputs import SegmentationOutput
from .prediction import Prediction, ViewPrediction, dense_scores, image_size, label_map, picture_size
from .views import View, Views, check_images
from .vocabulary import EncodedNames, VocabularyHolder

PRECISIONS = ("float32", "bfloat16", "float16")


class OpenVocabularySegmenter(VocabularyHolder):
    """Open-vocabulary semantic segmentation of images into the names that ``set_vocabulary`` gives.

    A subclass implements ``segment`` and ``losses``. It has either a ``prompter`` and a ``backbone`` with
    ``encode_text``, or its own ``tokenize`` and ``encode_names``.

    Args:
        pixel_mean, pixel_std: RGB, 0-255.
        views: what the encoder sees of a test image.
        ignore_label: the label of pixels without a class.
    """

    precision = "float32"
    views_at_once = 1  # views of an image that go through the system together; more take more memory
    pixel_mean: Tensor
    pixel_std: Tensor
    weight_sources: Any  # a ``WeightSources``, once ``build`` has built the model

    def __init__(self, pixel_mean: Sequence[float], pixel_std: Sequence[float], views: Views, ignore_label: int = 255):
        super().__init__()
        self.views = views
        self.ignore_label = ignore_label
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            buffer = torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    # ---- methods that a system implements ----

    def segment(self, images: Tensor, text: Tensor, num_kept: NumKept, show: bool = False) -> Prediction:
        """Segment a batch of views.

        Args:
            images: (B, 3, h, w) normalised.
            text: (T, D) text embeddings of unit length.
            num_kept: K.
            show: also fill ``Prediction.shown``.
        """
        raise NotImplementedError

    def encode_views(self, images: Tensor) -> Callable[[Tensor, NumKept], Prediction]:
        """Encode views, (B, 3, h, w) normalised; the result segments them, from text embeddings (T, D) and K."""
        return partial(self.segment, images)

    def losses(self, batched_inputs: list[dict]) -> dict[str, Tensor]:
        """The weighted training losses; see ``forward``."""
        raise NotImplementedError

    def dense_embedding(self, image: Tensor) -> Tensor:
        """Dense features that are aligned with text: (3, H, W) RGB 0-255 -> (D, h, w) of unit length.

        Raises:
            UsageError: the system has no such features.
        """
        raise UsageError(f"{type(self).__name__} has no dense embedding that is aligned with text.")

    def modules_of_precision(self) -> list[nn.Module]:
        """The modules that ``set_precision`` converts; all others stay in float32."""
        return []

    # ---- mode, device, precision ----

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def set_precision(self, precision: str) -> None:
        """Convert the modules of ``modules_of_precision``.

        Args:
            precision: "float32", "bfloat16" or "float16". Weights are rounded; a later call cannot restore them.

        Raises:
            ArgumentError: it is another word, or the system runs only in float32.
        """
        if precision not in PRECISIONS:
            raise ArgumentError("{precision} = %r; give 'float32', 'bfloat16' or 'float16'.", precision)
        modules = self.modules_of_precision()
        if precision != "float32" and not modules:
            raise ArgumentError("{precision} = %r, but %s runs in float32 alone.", precision, type(self).__name__)
        self.precision = precision
        for module in modules:
            module.to(getattr(torch, precision))

    def train(self, mode: bool = True) -> "OpenVocabularySegmenter":
        """See ``VocabularyHolder.train``.

        Raises:
            UsageError: the model has a precision that is only for tests.
        """
        if mode and self.precision != "float32":
            raise UsageError(
                f"MODEL.PRECISION = {self.precision!r} is only for tests; train in 'float32', with SOLVER.AMP."
            )
        super().train(mode)
        return self

    # ---- forward ----

    def forward(
        self, batched_inputs: list[dict] | None = None, *, pixel_values: Tensor | Sequence[Tensor] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]] | SegmentationOutput:
        """Losses in training, predictions otherwise.

        Args:
            batched_inputs: per image, "image" (3, H, W) RGB 0-255. In training also "sem_seg" (H, W): integer class
                ids or the ignore label, of the same size in the whole batch. At test also "height" and "width" of the
                prediction (default: those of the image).
            pixel_values: in place of ``batched_inputs``, at test: pictures that are normalised and have the encoder's
                size, (B, 3, h, w) or a list of (3, h, w).

        Returns:
            For ``pixel_values`` a ``SegmentationOutput``. In training the losses, such as ``{"loss_sem_seg": scalar}``;
            otherwise per image ``{"sem_seg": (T, height, width)}`` scores.

        Raises:
            RuntimeError: no vocabulary is set.
            UsageError: an image is no picture of three channels; labels are missing, differ in size, or hold an id
                outside the vocabulary; or there are ``pixel_values`` in training.
        """
        if pixel_values is not None:
            return self._output(pixel_values)
        if batched_inputs is None:
            raise UsageError("The model was called without pictures; give batched_inputs or pixel_values.")
        check_images(batched_inputs)
        if self.training:
            return self.losses(batched_inputs)
        encoded = self.encoded()
        return [
            {"sem_seg": dense_scores(views, picture_size(inputs), len(encoded.names))}
            for views, inputs in zip(self.predict_views(batched_inputs, encoded), batched_inputs, strict=True)
        ]

    def _output(self, pixel_values: Tensor | Sequence[Tensor]) -> SegmentationOutput:
        """The output for pictures that are normalised and have the size that the encoder sees."""
        if self.training:
            raise UsageError(
                "The model is in training mode, where it takes batched_inputs; call model.eval() to predict."
            )
        encoded = self.encoded()
        if encoded.text is None:
            raise RuntimeError("The vocabulary is not encoded; call set_vocabulary.")
        batches = [pixel_values] if isinstance(pixel_values, Tensor) else [each[None] for each in pixel_values]
        for each in batches:
            if each.ndim != 4 or each.shape[1] != 3 or not each.numel():
                raise UsageError(
                    f"pixel_values have the shape {tuple(each.shape)}; give (B, 3, h, w), or (3, h, w) each."
                )
        images = [each.to(self.device).contiguous(memory_format=torch.channels_last) for each in batches]
        return SegmentationOutput(tuple(self.segment(each, encoded.text, encoded.num_kept) for each in images), encoded)

    def label_maps(self, batched_inputs: list[dict]) -> list[Tensor]:
        """The best name of every pixel, without the (T, H, W) scores that ``forward`` gives.

        Args:
            batched_inputs: see ``forward``, at test.

        Returns:
            Per image (height, width) int64, indices of the vocabulary's names, on the model's device.

        Raises:
            RuntimeError: no vocabulary is set.
        """
        predicted = self.predict_views(batched_inputs)
        return [label_map(views, picture_size(inputs)) for views, inputs in zip(predicted, batched_inputs, strict=True)]

    def predict_views(
        self, batched_inputs: list[dict], encoded: EncodedNames | None = None, show: bool = False
    ) -> list[list[ViewPrediction]]:
        """The predictions of the views of each image, each with its place in the picture.

        An image has one view, unless ``TEST.*`` asks for scales, mirrors or windows. Views of one size go through the
        system together, at most ``views_at_once`` for each image of the batch.

        Args:
            batched_inputs: see ``forward``, at test.
            encoded: the vocabulary; None for the model's.
            show: see ``segment``.

        Raises:
            RuntimeError: no vocabulary is set.
        """
        check_images(batched_inputs)
        encoded = encoded or self.encoded()
        text = encoded.text
        if text is None:
            raise RuntimeError("The vocabulary is not encoded; pass model.up_to_date(encoded).")
        predicted: list[list[ViewPrediction]] = [[] for _ in batched_inputs]
        views = [(i, view) for i, inputs in enumerate(batched_inputs) for view in self.views.of(*image_size(inputs))]
        views.sort(key=_size)
        for _, same_size in groupby(views, key=_size):
            group = list(same_size)
            at_once = self.views_at_once * len(batched_inputs)
            for start in range(0, len(group), at_once):
                chunk = group[start : start + at_once]
                images = torch.cat([self.see(batched_inputs[i]["image"], view) for i, view in chunk])
                prediction = self.segment(images, text, encoded.num_kept, show)
                for place, (i, view) in enumerate(chunk):
                    predicted[i].append(prediction.of_view(place, view, batched_inputs[i]))
        return predicted

    def see(self, image: Tensor, view: View) -> Tensor:
        """The encoder's input for a view: (3, H, W) RGB 0-255 -> (1, 3, *view.size) normalised."""
        rows, cols = slice(*view.rows), slice(*view.cols)
        if view.is_cut:
            canvas = self.preprocess(image, view.canvas or view.size)
            x = resize(canvas[..., rows, cols], view.size)
        else:
            x = self.preprocess(image if view.canvas else image[:, rows, cols], view.size)
        return x.flip(-1) if view.flipped else x

    def preprocess(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """Normalise, then resize without keeping the aspect ratio: (3, H, W) RGB 0-255 -> (1, 3, *size)."""
        image = image.to(self.device, non_blocking=True).float()  # copy bytes to the device, not floats
        image = resize(self.normalize(image).unsqueeze(0), size)
        return image.contiguous(memory_format=torch.channels_last)

    def normalize(self, images: Tensor) -> Tensor:
        """(..., 3, H, W) float32 RGB 0-255 -> the same, normalised."""
        return (images - self.pixel_mean) / self.pixel_std

    # ---- training ----

    @staticmethod
    def stack_labels(batched_inputs: list[dict]) -> Tensor:
        """The labels of a batch: (B, H, W) int64, on their own device (the loader leaves them on the CPU).

        Raises:
            UsageError: there are no images, an image has no labels, or the labels of two images differ in size.
        """
        if not batched_inputs:
            raise UsageError("The batch holds no images to train on; give at least one.")
        for inputs in batched_inputs:
            name = inputs.get("file_name", "an image")
            if "sem_seg" not in inputs:
                raise UsageError(f"{name} has no 'sem_seg' labels to train on; call model.eval() first to predict.")
            size, first = (tuple(each["sem_seg"].shape) for each in (inputs, batched_inputs[0]))
            if size != first:
                raise UsageError(
                    f"{name} has labels of the size {size}, and the first image of the batch {first}; crop or pad them "
                    "to one size (INPUT.CROP, INPUT.SIZE_DIVISIBILITY)."
                )
        return torch.stack([inputs["sem_seg"] for inputs in batched_inputs]).long()

    def present_names(self, labels: Tensor, batched_inputs: list[dict], num_names: int) -> Tensor:
        """The names in the ground truth of each image: (B, H, W) labels -> (B, T) bool.

        Raises:
            UsageError: a label id lies outside the vocabulary.
        """
        ids = labels.masked_fill(labels == self.ignore_label, num_names).flatten(1)  # ignored pixels: one more class
        wrong = ((ids < 0) | (ids > num_names)) | ((ids == num_names) & (labels.flatten(1) != self.ignore_label))
        if wrong.any():
            image, pixel = wrong.nonzero()[0].tolist()
            raise UsageError(
                f"{batched_inputs[image].get('file_name', 'an image')}: the label id {labels[image].flatten()[pixel]} "
                f"is outside the vocabulary of {num_names} names; prepare the labels for it, or set "
                f"MODEL.SEM_SEG_HEAD.IGNORE_VALUE (now {self.ignore_label})."
            )
        present = torch.zeros(len(labels), num_names + 1, dtype=torch.bool, device=labels.device)
        return present.scatter_(1, ids, 1)[:, :num_names]


def _size(view_of_image: tuple[int, View]) -> tuple[int, int]:
    return view_of_image[1].size
