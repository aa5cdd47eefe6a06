"""K that fits the image: its scores at several thresholds beside those of fixed K, and the best threshold.

The prediction for a view depends on its K alone. So the encoder runs once for a view, and the decoder once for each K
that any of the choices gives to it.

Shapes: T names, N classes, H x W the picture's size.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from torch import Tensor

from errseg.data import build_test_loader, require_dataset
from errseg.errors import UsageError
from errseg.modeling import OpenVocabularySegmenter, system_of
from errseg.modeling.num_kept import AutoKept, NumKept, most_kept
from errseg.modeling.prediction import ViewPrediction, image_size, label_map, picture_size
from errseg.modeling.taps import watch

from .evaluator import VocabularyEvaluator
from .metrics import scores_by_name

__all__ = ["OWN", "THRESHOLDS", "Choice", "Outcome", "best_threshold", "choices_of", "halves", "measure_kept"]

THRESHOLDS = (0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03)  # points per location
OWN = "the data set's K"
EVERY = slice(None)


class Choice(NamedTuple):
    """A K to measure."""

    label: str
    num_kept: NumKept | None  # None: that of each data set


@dataclass
class Outcome:
    """What a choice gives on the images of a data set.

    Attributes:
        matrix: (N + 1, N + 1) pixels; row: predicted, column: true.
        kept: K of each view.
        found, present: over all images, the classes of the labels of which a name is kept, and all classes of the
            labels.
        seconds: of each view, the time of everything after the encoder.
        mIoU: in percent, once all images are counted.
    """

    matrix: np.ndarray
    kept: list[int] = field(default_factory=list)
    found: int = 0
    present: int = 0
    seconds: list[float] = field(default_factory=list)
    mIoU: float = 0.0

    def as_data(self) -> dict[str, Any]:
        """The figures: mIoU and recall in percent, the mean and the largest K, and the mean time in seconds."""
        return {
            "mIoU": self.mIoU,
            "recall": 100 * self.found / max(self.present, 1),
            "kept": mean(self.kept),
            "largest": max(self.kept),
            "decoder_s": mean(self.seconds),
        }


def choices_of(auto: AutoKept, thresholds: Sequence[float] = THRESHOLDS, fixed: Sequence[int] = ()) -> list[Choice]:
    """The data set's own K, fixed numbers, and thresholds within the bounds of ``auto``, in this order."""
    numbers = [Choice(f"K = {number}", number) for number in fixed]
    fitting = [Choice(f"auto {each:g}", AutoKept(each, auto.least, auto.most)) for each in thresholds]
    return [Choice(OWN, None), *numbers, *fitting]


def halves(limit: int | None) -> tuple[slice, slice]:
    """Every second image of the first ``limit`` (None: of all), from the first and from the second one on."""
    return slice(0, limit, 2), slice(1, limit, 2)


@torch.inference_mode()
def measure_kept(
    cfg: CfgNode,
    model: OpenVocabularySegmenter,
    name: str,
    choices: Sequence[Choice],
    part: slice = EVERY,
    images: Iterable[list[dict[str, Any]]] | None = None,
) -> list[Outcome]:
    """Segment the images of a data set with each choice of K.

    Args:
        cfg: the configuration.
        model: a model whose system shows a ranking; its vocabulary becomes that of the data set.
        name: of a registered data set.
        choices: of K.
        part: which of the images, by their place.
        images: batches of the data set's images; None: those of its test loader.

    Raises:
        UsageError: the data set is missing, a file of it is invalid, or ``part`` has no image.
    """
    require_dataset(name)
    metadata = MetadataCatalog.get(name)
    prompts = metadata.get("prompts", metadata.stuff_classes)
    own = system_of(cfg).num_kept(cfg, len(prompts), metadata.get("num_classes_test"))
    model.eval().set_vocabulary(prompts)
    evaluator = VocabularyEvaluator(name, distributed=False, mean_over=cfg.TEST.MEAN_OVER)
    outcomes = [Outcome(np.zeros_like(evaluator.matrix)) for _ in choices]
    loader = build_test_loader(cfg, name) if images is None else images
    for inputs in islice(chain.from_iterable(loader), part.start, part.stop, part.step):
        truth, confusions = evaluator.truth(inputs, picture_size(inputs)), {}
        present = np.setdiff1d(truth, [evaluator.read_label.ignore_label])
        decoded = _Decoded(model, inputs)
        for choice, outcome in zip(choices, outcomes, strict=True):
            numbers = decoded.numbers(own if choice.num_kept is None else choice.num_kept)
            views, seconds = decoded.views(numbers)
            if numbers not in confusions:
                labels = label_map(views, picture_size(inputs))
                confusions[numbers] = evaluator.confusion(evaluator.classes({"labels": labels}), truth)
            outcome.matrix += confusions[numbers]
            outcome.kept += numbers
            outcome.seconds += seconds
            names = torch.cat([view.kept for view in views])
            kept = evaluator.prompt_classes.to(names.device)[names].cpu().numpy()
            outcome.present += len(present)
            outcome.found += int(np.isin(present, kept).sum())
    if not outcomes[0].kept:
        raise UsageError(f"{name} has no image for this measurement; give more than one to --hold-out.")
    for outcome in outcomes:
        outcome.mIoU = scores_by_name(outcome.matrix, evaluator.unseen, cfg.TEST.MEAN_OVER)["mIoU"]
    return outcomes


class _Decoded:
    """The views of an image: encoded once, and decoded for each K that is asked for."""

    def __init__(self, model: OpenVocabularySegmenter, inputs: dict[str, Any]):
        self._model, self._inputs = model, inputs
        encoded = model.encoded().text
        assert encoded is not None  # the model is in evaluation mode
        self._text: Tensor = encoded
        self._places = model.views.of(*image_size(inputs))
        self._segment = [model.encode_views(model.see(inputs["image"], view)) for view in self._places]
        with watch(model, ["ranking"]) as seen:
            for segment in self._segment:
                segment(self._text, 1)
        self._points: list[Tensor] = seen["ranking"]  # (1, T) each
        self._done: dict[tuple[int, int], tuple[ViewPrediction, float]] = {}

    def numbers(self, num_kept: NumKept) -> tuple[int, ...]:
        """K of each view."""
        if isinstance(num_kept, AutoKept):
            return tuple(int(num_kept.counts(points)) for points in self._points)
        return (most_kept(num_kept, len(self._text)),) * len(self._places)

    def views(self, numbers: tuple[int, ...]) -> tuple[list[ViewPrediction], list[float]]:
        """The prediction of each view for its K, and the seconds that its decoder took."""
        found = [self._decode(*each) for each in enumerate(numbers)]
        return [view for view, _ in found], [seconds for _, seconds in found]

    def _decode(self, place: int, number: int) -> tuple[ViewPrediction, float]:
        if (place, number) not in self._done:
            self._wait()
            start = time.perf_counter()
            prediction = self._segment[place](self._text, number)
            self._wait()
            seconds = time.perf_counter() - start
            self._done[place, number] = prediction.of_view(0, self._places[place], self._inputs), seconds
        return self._done[place, number]

    def _wait(self) -> None:
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)


def best_threshold(choices: Sequence[Choice], runs: Sequence[Mapping[str, Sequence[Outcome]]]) -> AutoKept:
    """The threshold with the highest mIoU, the mean over models and data sets; of equal ones, that of fewer names.

    Args:
        choices: as for ``measure_kept``.
        runs: for each model, the outcomes of each data set by name, in the order of ``choices``.
    """
    found = []
    for place, choice in enumerate(choices):
        if isinstance(choice.num_kept, AutoKept):
            some = [outcomes[place] for sets in runs for outcomes in sets.values()]
            score = round(mean(each.mIoU for each in some), 2)  # as it is printed
            found.append((score, -mean(mean(each.kept) for each in some), choice.num_kept))
    return max(found, key=lambda each: each[:2])[2]
