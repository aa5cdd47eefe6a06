"""Check a written file: compare its labels of drawn pictures with the model's, for batches of one and two pictures.

Shapes: N pictures of H x W pixels, T names of the vocabulary, D text dimension.
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
from errseg.modeling.views import MULTIPLE, View

from .formats import Runner
from .graph import MOST_NAMES
from .sizes import InputSize

__all__ = ["LEAST_AGREEMENT", "agreement_on_drawings", "drawn_pictures", "labels_of_model"]

LEAST_AGREEMENT = 0.999  # share of the pixels
OBJECTS = (3, 5)  # number of objects in each of the two pictures


def drawn_pictures(height: int, width: int) -> np.ndarray:
    """Two different scenes: (2, 3, H, W) uint8."""
    random = np.random.default_rng(0)
    scenes = [draw_scene(list(random.choice(SEEN, count, replace=False)), random).image for count in OBJECTS]
    sized = [Image.fromarray(scene).resize((width, height), Image.BILINEAR) for scene in scenes]
    return np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in sized])


@torch.no_grad()
def labels_of_model(
    model: OpenVocabularySegmenter,
    images: np.ndarray,
    text: Tensor,
    num_classes: NumKept,
    picture: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The labels and confidences of the model, for one picture at a time.

    Args:
        model: in evaluation mode.
        images: (N, 3, H, W) uint8, at the model's input size.
        text: (T, D) embeddings.
        num_classes: K.
        picture: height and width of the label map; None: H x W.

    Returns:
        Rows of ``text`` (N, H, W), or of the picture's size, and each pixel's confidence (N, H, W).
    """
    size, predicted = images.shape[-2:], []
    height, width = picture or size
    for image in map(torch.from_numpy, images):
        prediction = model.segment(model.preprocess(image, size), text, num_classes)
        inputs = {"image": image, "height": height, "width": width}
        view = View((0, size[0]), (0, size[1]), size)
        predicted.append(labels_and_confidences([prediction.of_view(0, view, inputs)], (height, width)))
    labels, scores = zip(*predicted, strict=True)
    return torch.stack(labels).numpy(), torch.stack(scores).numpy()


def agreement_on_drawings(
    run: Runner,
    model: OpenVocabularySegmenter,
    text: Tensor,
    num_classes: NumKept,
    classes: tuple[int, ...] | None,
    size: InputSize,
    native_size: bool = False,
    least: float = LEAST_AGREEMENT,
) -> float:
    """The share of pixels to which the file and the model give the same label: the smallest of several runs.

    The runs use a batch of two pictures, and a batch of one. With an open vocabulary, each is run with more than K
    names and with at most K names. A file of any size sees the example's size and two others.

    Args:
        run: the written file.
        model: the model that the file was made from.
        text: (T, D) embeddings of the vocabulary, or of an example vocabulary.
        num_classes: K.
        classes: the name of each row of ``text``; None where the file takes ``text`` as an input.
        size: of the images that the file takes.
        native_size: the size of the label map is an input.
        least: the smallest share that is no error.

    Raises:
        UsageError: the share is less than ``least``.
    """
    texts = [text] if classes else _vocabularies(text, most_kept(num_classes, MOST_NAMES))
    shares = []
    for images in (drawn_pictures(*sides) for sides in _sizes(size)):
        for each in texts:
            picture = (images.shape[-2] * 3 // 2 + 1, images.shape[-1] + 7) if native_size else None
            expected, _ = labels_of_model(model, images, each, num_classes, picture)
            expected = expected if classes is None else np.asarray(classes)[expected]
            inputs = [] if classes else [each.numpy()]
            inputs += [np.array(picture)] if picture else []
            for count in (1,) if size.is_dynamic else (2, 1):
                labels, _ = run(images[:count], *inputs)
                shares.append(share_of_equal_pixels([labels], [expected[:count]]))
    if min(shares) < least:
        raise UsageError(
            f"the file labels only {min(shares):.2%} of the pixels as the model does ({least:.1%} are "
            "required), and was removed; give trained weights, float32, or another --format."
        )
    return min(shares)


def _sizes(size: InputSize) -> list[tuple[int, int]]:
    """The sizes of the pictures to compare on: height and width."""
    sides = size.height, size.width
    return [sides, (sides[0] + 2 * MULTIPLE, sides[1]), (64, 96)] if size.is_dynamic else [sides]


def _vocabularies(text: Tensor, num_classes: int) -> list[Tensor]:
    """The given rows, and a second set: with random rows added, more than K; or with rows left out, fewer than K."""
    generator = torch.Generator().manual_seed(0)
    more = torch.nn.functional.normalize(torch.randn(num_classes + 3, *text.shape[1:], generator=generator), dim=-1)
    other = torch.cat([text, more]) if len(text) <= num_classes else text[: max(num_classes - 1, 2)]
    return [text, other]
