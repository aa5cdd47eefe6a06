"""Check a written file: compare its labels of drawn pictures with the model's, for batches of one and two pictures.

Shapes: N pictures of R x R pixels, T names of the vocabulary, D text dimension.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from errseg.agreement import share_of_equal_pixels
from errseg.errors import UsageError
from errseg.mini.render import draw_scene
from errseg.mini.world import SEEN
from errseg.modeling import OpenVocabularySegmenter
from errseg.modeling.num_kept import NumKept, most_kept
from errseg.modeling.prediction import labels_and_confidences

from .formats import Runner
from .graph import MOST_NAMES

__all__ = ["LEAST_AGREEMENT", "agreement_on_drawings", "drawn_pictures", "labels_of_model"]

LEAST_AGREEMENT = 0.999  # share of the pixels
OBJECTS = (3, 5)  # number of objects in each of the two pictures


def drawn_pictures(resolution: int) -> np.ndarray:
    """Two different scenes: (2, 3, R, R) uint8."""
    random = np.random.default_rng(0)
    scenes = [draw_scene(list(random.choice(SEEN, count, replace=False)), random).image for count in OBJECTS]
    sized = [Image.fromarray(scene).resize((resolution, resolution), Image.BILINEAR) for scene in scenes]
    return np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in sized])


@torch.no_grad()
def labels_of_model(
    model: OpenVocabularySegmenter, images: np.ndarray, text: Tensor, num_classes: NumKept
) -> tuple[np.ndarray, np.ndarray]:
    """The labels and confidences of the model, for one picture at a time.

    Args:
        model: in evaluation mode.
        images: (N, 3, R, R) uint8, at the model's input size.
        text: (T, D) embeddings.
        num_classes: K.

    Returns:
        Rows of ``text`` (N, R, R), and each pixel's confidence (N, R, R).
    """
    size = images.shape[-2:]
    predicted = []
    for image in map(torch.from_numpy, images):
        prediction = model.segment(model.preprocess(image, size), text, num_classes)
        (view,) = model.views.of(*size)
        predicted.append(labels_and_confidences([prediction.of_view(0, view, {"image": image})], size))
    labels, scores = zip(*predicted, strict=True)
    return torch.stack(labels).numpy(), torch.stack(scores).numpy()


def agreement_on_drawings(
    run: Runner,
    model: OpenVocabularySegmenter,
    text: Tensor,
    num_classes: NumKept,
    classes: tuple[int, ...] | None,
    resolution: int,
) -> float:
    """The share of pixels to which the file and the model give the same label: the smallest of several runs.

    The runs use a batch of two pictures, and a batch of one. With an open vocabulary, each is run with more than K
    names and with at most K names.

    Args:
        run: the written file.
        model: the model that the file was made from.
        text: (T, D) embeddings of the vocabulary, or of an example vocabulary.
        num_classes: K.
        classes: the name of each row of ``text``; None where the file takes ``text`` as an input.
        resolution: R.

    Raises:
        UsageError: the share is less than ``LEAST_AGREEMENT``.
    """
    images = drawn_pictures(resolution)
    texts = [text] if classes else _vocabularies(text, most_kept(num_classes, MOST_NAMES))
    shares = []
    for each in texts:
        expected, _ = labels_of_model(model, images, each, num_classes)
        expected = expected if classes is None else np.asarray(classes)[expected]
        inputs = () if classes else (each.numpy(),)
        for count in (2, 1):
            labels, _ = run(images[:count], *inputs)
            shares.append(share_of_equal_pixels([labels], [expected[:count]]))
    if min(shares) < LEAST_AGREEMENT:
        raise UsageError(
            f"the file labels only {min(shares):.2%} of the pixels as the model does ({LEAST_AGREEMENT:.1%} are "
            "required), and was removed; give trained weights, float32, or another --format."
        )
    return min(shares)


def _vocabularies(text: Tensor, num_classes: int) -> list[Tensor]:
    """The given rows, and a second set: with random rows added, more than K; or with rows left out, fewer than K."""
    generator = torch.Generator().manual_seed(0)
    more = torch.nn.functional.normalize(torch.randn(num_classes + 3, text.shape[1], generator=generator), dim=-1)
    other = torch.cat([text, more]) if len(text) <= num_classes else text[: max(num_classes - 1, 2)]
    return [text, other]
