"""A model for people who want masks: names in, pictures in, results out.

Shapes: T names, D text dimension, H x W a picture's size, h x w that of the dense embeddings (stride 16 of R x R).
"""

import io
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
from errseg.modeling import OpenVocabularySegmenter, system_of, system_of_model
from errseg.modeling.prediction import ViewPrediction, labels_and_confidences
from errseg.modeling.vocabulary import EncodedNames

from .choice import Choice, Choices
from .images import read_image
from .names import Names, as_vocabulary, clean_name
from .result import KeptName, Result, check_confidence

__all__ = ["Segmenter"]

Picture = str | os.PathLike | Image.Image | np.ndarray
SINGLE = (str, os.PathLike, Image.Image, np.ndarray, bytes, torch.Tensor, io.IOBase)  # the last three are refused


class Segmenter:
    """Segments pictures into the names of a vocabulary; ``errseg.load`` makes one.

    Threads may share it. Each has the vocabulary that it has set last itself; one that has set none has what any thread
    has set last. A call, and the generator that a call returns, keeps the vocabulary that it began with. Several of
    them may share a model: ``Segmenter(other.model, other.cfg)`` has a vocabulary of its own.

    Attributes:
        model: the model, in evaluation mode.
        cfg: its configuration.
    """

    def __init__(self, model: OpenVocabularySegmenter, cfg: CfgNode):
        """
        Args:
            model: built from ``cfg``; it is put into evaluation mode.
            cfg: ``INPUT.MIN_SIZE_TEST``, ``INPUT.MAX_SIZE_TEST`` and ``INPUT.MAX_PIXELS`` count.
        """
        self.model = model.eval()
        self.cfg = cfg
        self._resize = T.AugmentationList(build_augmentations(cfg, is_train=False))
        self._choices = Choices()

    def __repr__(self) -> str:
        names = "no vocabulary yet" if self.vocabulary is None else f"{len(self.names)} names"
        return f"Segmenter({self.cfg.MODEL.CLIP.NAME}, {self.model.precision}, {self.device}, {names})"

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The names that are set, and what the model is asked for each; None before ``set_vocabulary``."""
        choice = self._choices.current
        return None if choice is None else choice.vocabulary

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the vocabulary that is set, none before."""
        vocabulary = self.vocabulary
        return () if vocabulary is None else vocabulary.classes

    @property
    def encoded(self) -> EncodedNames:
        """What the model is asked for, with text embeddings and K.

        Raises:
            RuntimeError: no vocabulary is set.
        """
        return self._chosen().encoded(self.model)

    def set_vocabulary(self, names: Names, num_classes: int | None = None) -> None:
        """Choose the names to segment. Where it fails, the vocabulary of before stays.

        Args:
            names: a list of names, in which commas separate synonyms; or ``{"name": ["synonym", ...]}``; or the name of
                a vocabulary of this package, such as ``"ade20k_150"``; or the path of a file of names.
            num_classes: K, the names (synonyms count) that the system keeps for a picture; 0 for all; None for the
                configuration's (ERR-Seg: ``MODEL.CRM.NUM_CLASSES_TEST``), or else the paper's for so many names.

        Raises:
            UsageError: there are no names; one is blank, longer than the text tower reads, or the same as another.
        """
        vocabulary = as_vocabulary(names)
        if num_classes is None:
            count = len(vocabulary.prompts)
            num_classes = min(system_of(self.cfg).num_kept(self.cfg, count, None), count)
        encoded = self.model.encode(self.model.tokenize(vocabulary.prompts, operator.index(num_classes)))
        self.model.use(encoded)
        self._choices.make(Choice(vocabulary, encoded))

    def __call__(
        self,
        images: Picture | Iterable[Picture],
        background: str | None = None,
        min_confidence: float = 0.5,
        batch_size: int = 1,
    ) -> Result | list[Result] | Iterator[Result]:
        """Segment pictures.

        Every pixel gets its best name, however bad, unless ``background`` says otherwise. Thresholds are how a part of
        the field counts VOC's background (a name's confidence below the threshold is background); the other part, and
        this package's ``voc_21``, asks for background by names of its own.

        Args:
            images: a picture (path, PIL image, (H, W, 3) uint8 RGB array), a list of them, or any other iterable of
                them, of which no more than a batch is in memory at once.
            background: the name that pixels below ``min_confidence`` get; it is one of the vocabulary, or comes last.
            min_confidence: 0 to 1; counts where ``background`` is given.
            batch_size: pictures that go through the model at once.

        Returns:
            A result; a list of them; a generator of them. As the pictures were given.

        Raises:
            RuntimeError: no vocabulary is set.
            UsageError: a picture cannot be read, the background is no name, or the model is in training mode.
        """
        choice = self._chosen()
        self._check_mode()
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise UsageError(f"batch_size = {batch_size!r}; give a whole number from 1.")
        check_confidence(min_confidence)
        if background is not None:
            background = clean_name(background)
        if isinstance(images, SINGLE) or not isinstance(images, Iterable):
            single: Any = images
            return next(self._stream(choice, [single], background, min_confidence, 1))
        results = self._stream(choice, images, background, min_confidence, batch_size)
        return list(results) if isinstance(images, (list, tuple)) else results

    def read(self, image: Picture) -> np.ndarray:
        """The pixels that are segmented: (H, W, 3) uint8 RGB, upright, transparency over white.

        Raises:
            UsageError: it cannot be read, or has more pixels than ``INPUT.MAX_PIXELS``.
        """
        return read_image(image, self.cfg.INPUT.MAX_PIXELS)

    def inputs(self, image: Picture) -> dict[str, Any]:
        """What the model takes of a picture, which is resized as for an evaluation.

        Returns:
            "image" (3, h, w) uint8 RGB, "height" and "width" of the picture.

        Raises:
            UsageError: it cannot be read.
        """
        return self._inputs(self.read(image))

    @torch.no_grad()
    def embed(self, image: Picture) -> Tensor:
        """Dense features that are aligned with text: (D, h, w) of unit length, at stride 16 (32 without the HSM).

        The picture is squared to R x R, its aspect ratio not kept, as the model sees it.

        Raises:
            UsageError: it cannot be read, or the model is in training mode.
        """
        self._check_mode()
        return self.model.dense_embedding(self.inputs(image)["image"])

    @torch.no_grad()
    def embed_text(self, names: Names) -> Tensor:
        """Text embeddings: (T, D) of unit length; those of a name's synonyms are averaged.

        Args:
            names: as ``set_vocabulary``'s, which stays as it is.

        Raises:
            UsageError: as ``set_vocabulary``.
        """
        vocabulary = as_vocabulary(names)
        tokenized = self.model.tokenize(vocabulary.prompts)
        owner = torch.tensor(vocabulary.prompt_classes)[tokenized.owner]
        return self.model.encode_names(replace(tokenized, names=vocabulary.classes, owner=owner))

    @torch.no_grad()
    def similarity(self, image: Picture, names: Names) -> Tensor:
        """Cosines of every location and name, the model's first cost map (Eq. 3): (T, h, w), -1 to 1.

        Args:
            image: a picture.
            names: as ``set_vocabulary``'s, which stays as it is.

        Raises:
            UsageError: the picture cannot be read, or as ``set_vocabulary``.
        """
        text = self.embed_text(names)
        return torch.einsum("dhw,td->thw", self.embed(image), text.float())

    # ---- the work ----

    def _inputs(self, image: np.ndarray) -> dict[str, Any]:
        height, width = image.shape[:2]
        seen = T.AugInput(image)
        try:
            self._resize(seen)
        except ValueError:  # so long and thin that a side would vanish: the model takes it as it is
            seen = T.AugInput(image)
        return {"image": torch.from_numpy(seen.image.transpose(2, 0, 1).copy()), "height": height, "width": width}

    def _chosen(self) -> Choice:
        choice = self._choices.current
        if choice is None:
            raise RuntimeError("The model has no vocabulary; call model.set_vocabulary(names) first.")
        return choice

    def _check_mode(self) -> None:
        """Raise UsageError where dropout would make every answer another one."""
        if self.model.training:
            raise UsageError("The model is in training mode; call segmenter.model.eval() before you segment with it.")

    def _stream(
        self,
        choice: Choice,
        images: Iterable[Picture],
        background: str | None,
        min_confidence: float,
        batch_size: int,
    ) -> Iterator[Result]:
        pictures, names = iter(images), choice.vocabulary.classes
        while batch := list(islice(pictures, batch_size)):
            arrays = [_own_array(self.read(picture), picture) for picture in batch]
            inputs = [self._inputs(array) for array in arrays]
            predicted = self._predict(choice, inputs)
            for picture, array, (labels, scores, kept) in zip(batch, arrays, predicted, strict=True):
                source = os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else None
                result = Result(array, labels, scores, names, kept, source)
                yield result if background is None else result.with_background(background, min_confidence)

    def _predict(self, choice: Choice, inputs: list[dict]) -> Iterator[tuple[np.ndarray, np.ndarray, list[KeptName]]]:
        """Label maps, confidences and the names kept, of a batch."""
        self._check_mode()
        encoded = choice.encoded(self.model)
        shows_ranking = "ranking" in system_of_model(self.model).shows
        several = any(len(self.model.views.of(*each["image"].shape[-2:])) > 1 for each in inputs)
        for batch in [[each] for each in inputs] if several else [inputs]:
            with torch.inference_mode():
                predicted = self.model.predict_views(batch, encoded, show=shows_ranking)
            for views, each in zip(predicted, batch, strict=True):
                labels, scores = labels_and_confidences(views, (each["height"], each["width"]))
                labels = labels.cpu()
                for rows in labels.split(1024):  # in place: a large picture's label map is not copied
                    rows.copy_(choice.classes[rows])
                yield labels.numpy(), scores.cpu().numpy(), _kept(choice.vocabulary, views)


def _own_array(array: np.ndarray, picture: Picture) -> np.ndarray:
    """The array of a picture, which the caller's own array does not change later."""
    return array.copy() if isinstance(picture, np.ndarray) and np.may_share_memory(array, picture) else array


def _kept(vocabulary: Vocabulary, views: list[ViewPrediction]) -> list[KeptName]:
    """The names that the system kept for a picture, best first; without a ranking, in the vocabulary's order."""
    ids = torch.cat([view.kept for view in views]).unique()
    if "ranking" not in views[0].shown:
        owners = dict.fromkeys(vocabulary.prompt_classes[index] for index in ids.tolist())
        return [KeptName(vocabulary.classes[owner], None) for owner in owners]
    points = torch.stack([view.shown["ranking"] for view in views]).mean(0)
    best: dict[int, float] = {}
    for index, score in zip(ids.tolist(), points[ids].tolist(), strict=True):
        owner = vocabulary.prompt_classes[index]
        best[owner] = max(best.get(owner, 0.0), score)
    order = sorted(best.items(), key=lambda item: -item[1])
    return [KeptName(vocabulary.classes[index], score) for index, score in order]
