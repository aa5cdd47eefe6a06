"""A model that segments pictures into given names.

Shapes: T names, D text dimension, H x W a picture's size, h x w that of the dense embeddings (stride 16 of R x R).
"""

import operator
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import transforms as T
from PIL import Image
from torch import Tensor

from errseg.data.augmentation import build_augmentations
from errseg.data.vocabularies import Vocabulary
from errseg.errors import UsageError
from errseg.memory import memory_for
from errseg.modeling import OpenVocabularySegmenter, system_of, system_of_model
from errseg.modeling.num_kept import AutoKept, NumKept, same_for_all
from errseg.modeling.prediction import ViewPrediction
from errseg.modeling.vocabulary import EncodedNames

from .choice import Choice, Choices
from .from_views import result_of
from .images import Picture, is_single, own_array, read_image
from .names import Names, as_vocabulary, clean_name
from .processor import Processor
from .result import Result, check_confidence
from .saving import Saved

__all__ = ["Segmenter"]


class Segmenter(Saved, library_name="errseg"):
    """Segments pictures into the names of a vocabulary. ``errseg.load`` returns a ``Segmenter``.

    Threads may share a segmenter. A thread uses the vocabulary that it has set last itself; if it has set none, it uses
    the last vocabulary that any thread has set. A call uses the vocabulary that was set when it began; so does the
    generator that it returns. Several segmenters may share a model: ``Segmenter(other.model, other.cfg)`` has its own
    vocabulary.

    Attributes:
        model: the model, in evaluation mode.
        cfg: its configuration.
    """

    def __init__(self, model: OpenVocabularySegmenter, cfg: CfgNode):
        """
        Args:
            model: built from ``cfg``; it is put into evaluation mode.
            cfg: the configuration of the model; ``INPUT`` says how pictures are read and resized.
        """
        self.model = model.eval()
        self.cfg = cfg
        self._resize = T.AugmentationList(build_augmentations(cfg, is_train=False))
        self._choices = Choices()

    def __repr__(self) -> str:
        names = "no vocabulary yet" if self.vocabulary is None else f"{len(self.names)} names"
        return f"Segmenter({system_of_model(self.model).name}, {self.model.precision}, {self.device}, {names})"

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def processor(self) -> Processor:
        """The interface of transformers: pictures to tensors, and outputs to label maps."""
        return Processor(self)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The vocabulary that is set: names, and the prompts of each; None before ``set_vocabulary``."""
        choice = self._choices.current
        return None if choice is None else choice.vocabulary

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the vocabulary; () before ``set_vocabulary``."""
        vocabulary = self.vocabulary
        return () if vocabulary is None else vocabulary.classes

    @property
    def has_proposals(self) -> bool:
        """Whether the system makes mask proposals, so that ``Result.proposals`` may be asked for."""
        return {"masks", "classes"} <= set(system_of_model(self.model).shows)

    @property
    def encoded(self) -> EncodedNames:
        """The prompts of the vocabulary, their text embeddings and K.

        Raises:
            RuntimeError: no vocabulary is set.
        """
        return self._chosen().encoded(self.model)

    def set_vocabulary(self, names: Names, num_classes: NumKept | str | None = None) -> None:
        """Set the names to segment. If it fails, the former vocabulary stays.

        Args:
            names: a list of names, in which commas separate synonyms; or ``{"name": ["synonym", ...]}``; or the name of
                a vocabulary of this package, such as ``"ade20k_150"``; or the path of a file of names.
            num_classes: K, the number of names (synonyms count) that the system keeps for a picture; 0 for all; "auto"
                for a K that fits each picture (ERR-Seg: ``MODEL.CRM.AUTO_*``); None for the configuration's K
                (``MODEL.CRM.NUM_CLASSES_TEST``), or, if it has none, the paper's K for this number of names. A system
                that drops no names has no K.

        Raises:
            UsageError: there are no names; a name is blank, too long for the text tower, or equal to another; or there
                is a K, but the system drops no names.
        """
        vocabulary = as_vocabulary(names)
        num_kept = self._num_kept(len(vocabulary.prompts), num_classes)
        encoded = self.model.encode(self.model.tokenize(vocabulary.prompts, num_kept))
        self.model.use(encoded)
        self._choices.make(Choice(vocabulary, encoded))

    def __call__(
        self,
        images: Picture | Iterable[Picture],
        background: str | None = None,
        min_confidence: float = 0.5,
        batch_size: int = 1,
        proposals: bool = False,
    ) -> Result | list[Result] | Iterator[Result]:
        """Segment pictures.

        Every pixel gets its best name, even at a low confidence, unless ``background`` is given. Papers treat VOC's
        background in two ways. Some use a threshold, as ``background`` and ``min_confidence`` do. Others describe the
        background by a list of names, as the vocabulary ``voc_21`` of this package does.

        Args:
            images: a picture (path, PIL image, (H, W, 3) uint8 RGB array), a list of pictures, or any other iterable of
                pictures. Only one batch of an iterable is in memory at a time.
            background: the name of pixels below ``min_confidence``: one of the vocabulary, or a new one, which comes
                last.
            min_confidence: 0 to 1; used only with ``background``. The confidences of two systems do not compare.
            batch_size: pictures in a batch of the model.
            proposals: also return ``Result.proposals``, the masks of a mask-based system.

        Returns:
            A result for a picture, a list of results for a list, and a generator of results for another iterable.

        Raises:
            RuntimeError: no vocabulary is set.
            UsageError: a picture cannot be read, the background is an invalid name, the system has no mask proposals,
                or the model is in training mode.
        """
        choice = self._chosen()
        self._check_mode()
        if proposals and not self.has_proposals:
            name = system_of_model(self.model).name
            raise UsageError(f"proposals = {proposals!r}, but {name} makes no mask proposals; leave it out.")
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise UsageError(f"batch_size = {batch_size!r}; give a whole number from 1.")
        check_confidence(min_confidence)
        if background is not None:
            background = clean_name(background)
        of_any_kind: Any = images
        if is_single(images):
            return next(self._stream(choice, [of_any_kind], background, min_confidence, 1, proposals))
        results = self._stream(choice, of_any_kind, background, min_confidence, batch_size, proposals)
        return list(results) if isinstance(images, (list, tuple)) else results

    def read(self, image: Picture) -> np.ndarray:
        """Read a picture: (H, W, 3) uint8 RGB, upright, transparency over white.

        Raises:
            UsageError: the picture cannot be read, or has more pixels than ``INPUT.MAX_PIXELS``.
        """
        return read_image(image, self.cfg.INPUT.MAX_PIXELS)

    def inputs(self, image: Picture) -> dict[str, Any]:
        """The model's inputs for a picture, which is resized as in an evaluation.

        Returns:
            "image" (3, h, w) uint8 RGB, "height" and "width" of the picture.

        Raises:
            UsageError: the picture cannot be read.
        """
        return self._inputs(self.read(image))

    @torch.no_grad()
    def embed(self, image: Picture) -> Tensor:
        """Dense features that are aligned with text: (D, h, w) of unit length.

        ERR-Seg: at stride 16 (32 without the HSM) of the square R x R, so that the aspect ratio is not kept. A
        system that sees pictures at their own size: at its stride of the resized picture.

        Raises:
            UsageError: the picture cannot be read, or the model is in training mode.
        """
        self._check_mode()
        return self.model.dense_embedding(self.inputs(image)["image"])

    @torch.no_grad()
    def embed_text(self, names: Names) -> Tensor:
        """Text embeddings: (T, D) of unit length. Those of a name's synonyms are averaged, and of its prompt templates.

        Args:
            names: see ``set_vocabulary``; the vocabulary that is set does not change.

        Raises:
            UsageError: see ``set_vocabulary``.
        """
        vocabulary = as_vocabulary(names)
        tokenized = self.model.tokenize(vocabulary.prompts)
        owner = torch.tensor(vocabulary.prompt_classes)[tokenized.owner]
        return self.model.encode_names(replace(tokenized, names=vocabulary.classes, owner=owner, apart=False))

    @torch.no_grad()
    def similarity(self, image: Picture, names: Names) -> Tensor:
        """Cosine of every location and every name: (T, h, w), -1 to 1. It is ERR-Seg's first cost map (Eq. 3).

        Args:
            image: a picture.
            names: see ``set_vocabulary``; the vocabulary that is set does not change.

        Raises:
            UsageError: the picture cannot be read; or see ``set_vocabulary``.
        """
        text = self.embed_text(names)
        return torch.einsum("dhw,td->thw", self.embed(image), text.float())

    def _num_kept(self, count: int, asked: NumKept | str | None) -> NumKept:
        """The K of a vocabulary of ``count`` prompts, for the K that a caller asks for."""
        system = system_of(self.cfg)
        if asked is None:
            return same_for_all(system.num_kept(self.cfg, count, None), count)
        if isinstance(asked, (str, AutoKept)):
            return self.model.chosen_kept(asked)
        asked = operator.index(asked)
        if 0 < asked < count and not system.num_kept(self.cfg, count, asked):
            raise UsageError(
                f"num_classes = {asked}, but this {system.name} keeps every name for every picture; leave it out."
            )
        return asked

    def _inputs(self, image: np.ndarray) -> dict[str, Any]:
        height, width = image.shape[:2]
        seen = T.AugInput(image)
        try:
            self._resize(seen)
        except ValueError:  # the picture is so long and thin that its shorter side would have no pixel
            longest = self.cfg.INPUT.MAX_SIZE_TEST
            size = (min(width, longest), 1) if height < width else (1, min(height, longest))
            seen = T.AugInput(np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)))
        return {"image": torch.from_numpy(seen.image.transpose(2, 0, 1).copy()), "height": height, "width": width}

    def _chosen(self) -> Choice:
        choice = self._choices.current
        if choice is None:
            raise RuntimeError("The model has no vocabulary; call model.set_vocabulary(names) first.")
        return choice

    def _check_mode(self) -> None:
        """Raise UsageError in training mode, in which dropout makes results random."""
        if self.model.training:
            raise UsageError("The model is in training mode; call segmenter.model.eval() before you segment with it.")

    def _stream(
        self,
        choice: Choice,
        images: Iterable[Picture],
        background: str | None,
        min_confidence: float,
        batch_size: int,
        proposals: bool,
    ) -> Iterator[Result]:
        with memory_for(self.device.type):
            pictures = iter(images)
            while batch := list(islice(pictures, batch_size)):
                arrays = [own_array(self.read(picture), picture) for picture in batch]
                predicted = self._predict(choice, [self._inputs(array) for array in arrays], proposals)
                for picture, array, views in zip(batch, arrays, predicted, strict=True):
                    source = os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else None
                    result = result_of(choice, array, views, source, proposals)
                    yield result if background is None else result.with_background(background, min_confidence)

    def _predict(self, choice: Choice, inputs: list[dict], proposals: bool) -> Iterator[list[ViewPrediction]]:
        """The views of each picture of a batch."""
        self._check_mode()
        encoded = choice.encoded(self.model)
        show = proposals or "ranking" in system_of_model(self.model).shows
        several = any(len(self.model.views.of(*each["image"].shape[-2:])) > 1 for each in inputs)
        for batch in [[each] for each in inputs] if several else [inputs]:
            with torch.inference_mode():
                predicted = self.model.predict_views(batch, encoded, show=show)
            yield from predicted
