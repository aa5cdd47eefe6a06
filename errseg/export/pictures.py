"""Compare an exported file with its model on a user's pictures: the share of equal labels, and the times."""

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from errseg.agreement import share_of_equal_pixels
from errseg.api import Segmenter

from .formats import Runner
from .sizes import InputSize, input_size, views_of

__all__ = ["PictureAgreement", "agreement_on_pictures", "as_input"]

PAUSE = 0.1  # seconds; onnxruntime's threads stop their busy waiting in that time


class PictureAgreement(NamedTuple):
    """The agreement of a written file with its model on some pictures, and the times."""

    agreement: list[float]  # for each picture, the share of pixels with the same label as the segmenter's
    file_seconds: list[float]  # from a picture in memory to its label map, for each picture
    own_seconds: list[float]  # of the segmenter; both take turns

    def __str__(self) -> str:
        count = len(self.agreement)
        of = f"{count} pictures" if count > 1 else "1 picture"
        return (
            f"{of}: {100 * statistics.fmean(self.agreement):.2f} % of the pixels labelled as errseg labels them (least "
            f"{100 * min(self.agreement):.2f} %), in {_seconds(self.file_seconds)} each; errseg itself "
            f"{_seconds(self.own_seconds)}."
        )


def agreement_on_pictures(
    run: Runner,
    segmenter: Segmenter,
    pictures: Iterable[Any],
    open_vocabulary: bool = False,
    size: InputSize | None = None,
    native_size: bool = False,
) -> PictureAgreement:
    """Label pictures with a written file, used as in its example.py, and with the model that it was made from.

    The file gets the picture resized to its size, and its labels are resized by nearest neighbour, unless it gives them
    at the picture's size. The segmenter resizes as in an evaluation, but to the size that the file sees, and it resizes
    scores, not labels. Both label the first picture once more before it is timed.

    Args:
        run: the written file.
        segmenter: has the vocabulary and the K of the file.
        pictures: at least one, in a form that ``Segmenter`` accepts.
        open_vocabulary: the file takes the embeddings of the segmenter's vocabulary as a second input.
        size: of the images that the file takes; None: squares of the configuration.
        native_size: the file takes the size of the picture as its last input, and gives the label map at that size.

    Raises:
        UsageError: a picture cannot be read.
    """
    views = segmenter.model.views
    size = size or input_size(None, views.resolution)
    text = (segmenter.encoded.text.numpy(),) if open_vocabulary else ()
    classes = np.asarray(segmenter.vocabulary.prompt_classes)

    def by_file(picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        more = (*text, np.array([height, width])) if native_size else text
        labels = run(as_input(picture, size), *more)[0][0].astype(np.int32)
        if not native_size:
            labels = np.asarray(Image.fromarray(labels).resize((width, height), Image.NEAREST))
        return classes[labels] if open_vocabulary else labels

    done = PictureAgreement([], [], [])
    try:
        segmenter.model.views = views_of(views, size)
        for picture in map(segmenter.read, pictures):
            if not done.agreement:
                by_file(picture), segmenter(picture)
            labels, seconds = _timed(by_file, picture)
            result, own_seconds = _timed(segmenter, picture)
            done.agreement.append(share_of_equal_pixels([labels], [result.labels]))
            done.file_seconds.append(seconds)
            done.own_seconds.append(own_seconds)
    finally:
        segmenter.model.views = views
    return done


def as_input(picture: np.ndarray, size: InputSize) -> np.ndarray:
    """A picture (H, W, 3) uint8 as the input of a written file, resized as in its example.py: (1, 3, h, w) uint8."""
    height, width = size.of(*picture.shape[:2])
    resized = Image.fromarray(picture).resize((width, height), Image.BILINEAR)
    return np.asarray(resized).transpose(2, 0, 1)[None].copy()


def _timed(call: Callable[[Any], Any], picture: Any) -> tuple[Any, float]:
    time.sleep(PAUSE)
    start = time.perf_counter()
    return call(picture), time.perf_counter() - start


def _seconds(times: list[float]) -> str:
    """The median and the range of times."""
    return f"{statistics.median(times):.3g} s ({min(times):.3g} – {max(times):.3g})"
