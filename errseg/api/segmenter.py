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
from errseg.data.vocabularies import Vocabulary, default_num_classes
from errseg.errors import UsageError
from errseg.modeling import ERRSeg
from errseg.modeling.clip.prompts import embed_vocabulary
from errseg.modeling.err_seg.crm import CRM
from errseg.modeling.err_seg.head import cost_map
from errseg.modeling.prediction import labels_and_scores
from errseg.modeling.vocabulary import EncodedVocabulary

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

    def __init__(self, model: ERRSeg, cfg: CfgNode):
        """
        Args:
            model: built from ``cfg``; it is put into evaluation mode.
            cfg: ``INPUT.MIN_SIZE_TEST``, ``INPUT.MAX_SIZE_TEST`` and ``MODEL.CRM.NUM_CLASSES_TEST`` count.
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
    def encoded(self) -> EncodedVocabulary:
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
            num_classes: K, the names (synonyms count) that CRM keeps; 0 for all; None for the configuration's
                ``MODEL.CRM.NUM_CLASSES_TEST``, or, where that is 0, what the paper takes for so many names.

        Raises:
            UsageError: there are no names; one is blank, longer than the text tower reads, or the same as another.
        """
        vocabulary = as_vocabulary(names)
        if num_classes is None:
            count = len(vocabulary.prompts)
            num_classes = min(self.cfg.MODEL.CRM.NUM_CLASSES_TEST, count) or default_num_classes(count)
        tokenised = self.model.prompter.vocabulary(vocabulary.prompts, operator.index(num_classes))
        encoded = self.model.encode(tokenised)
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
            return next(self._stream(choice, [images], background, min_confidence, 1))
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
        side = self.model.views.resolution
        features = self.model.backbone(self.model.preprocess(self.inputs(image)["image"], (side, side)))
        dense = features[self.model.sem_seg_head.embeddings[0]]
        return torch.nn.functional.normalize(dense.float(), dim=1).squeeze(0)

    @torch.no_grad()
    def embed_text(self, names: Names) -> Tensor:
        """Text embeddings: (T, D) of unit length; those of a name's synonyms are averaged.

        Args:
            names: as ``set_vocabulary``'s, which stays as it is.

        Raises:
            UsageError: as ``set_vocabulary``.
        """
        vocabulary = as_vocabulary(names)
        prompts = self.model.prompter.vocabulary(vocabulary.prompts)
        owner = torch.tensor(vocabulary.prompt_classes)[prompts.owner]
        prompts = replace(prompts, names=vocabulary.classes, owner=owner)
        return embed_vocabulary(prompts, self.model.backbone.encode_text)

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
        return cost_map(self.embed(image).unsqueeze(0), text).squeeze(0)

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
        """Label maps, confidences and what CRM kept, of a batch."""
        self._check_mode()
        encoded, crm = choice.encoded(self.model), self.model.sem_seg_head.crm
        ranking = crm if isinstance(crm, CRM) else CRM()
        several = any(len(self.model.views.of(*each["image"].shape[-2:])) > 1 for each in inputs)
        for batch in [[each] for each in inputs] if several else [inputs]:
            ranks: list[Tensor] = []  # CRM's points per location, (B, T) of each batch of views
            with torch.inference_mode():
                parts = self.model.parts(
                    batch, encoded, lambda costs, ranks=ranks: ranks.append(ranking.scores(costs) / costs[0, 0].numel())
                )
            rank = torch.cat(ranks)
            rank = rank.mean(0, keepdim=True) if several else rank
            for views, points, each in zip(parts, rank, batch, strict=True):
                labels, scores = labels_and_scores(views, (each["height"], each["width"]))
                kept = _kept(choice.vocabulary, torch.cat([view.kept for view in views]).unique(), points)
                labels = labels.cpu()
                for rows in labels.split(1024):  # in place: a large picture's label map is not copied
                    rows.copy_(choice.classes[rows])
                yield labels.numpy(), scores.cpu().numpy(), kept


def _own_array(array: np.ndarray, picture: Picture) -> np.ndarray:
    """The array of a picture, which the caller's own array does not change later."""
    return array.copy() if isinstance(picture, np.ndarray) and np.may_share_memory(array, picture) else array


def _kept(vocabulary: Vocabulary, ids: Tensor, points: Tensor) -> list[KeptName]:
    """The names that CRM kept, best first: their ids, and the points of every name."""
    best: dict[int, float] = {}
    for index, score in zip(ids.tolist(), points[ids].tolist(), strict=True):
        owner = vocabulary.prompt_classes[index]
        best[owner] = max(best.get(owner, 0.0), score)
    order = sorted(best.items(), key=lambda item: -item[1])
    return [KeptName(vocabulary.classes[index], score) for index, score in order]
