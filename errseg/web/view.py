"""The data of a result for the browser. Pictures are data URLs, so that no file of a result is written.

The map is a PNG of the size of the display. Red + 256 green is the index of a pixel's name in ``classes``; blue is its
confidence (0 to 255).
"""

import base64
import io
import json
from typing import Any

import numpy as np
from PIL import Image

from errseg.api import Result
from errseg.colors import colors_of
from errseg.visualization import fit

from .masks import view_masks

__all__ = ["sentence", "view"]

SMALLEST_SIDE, LARGEST_SIDE = 640, 1280  # limits of the displayed picture's longer side, in pixels


def sentence(text: str, error: bool = False) -> dict[str, Any]:
    """The data that show a sentence instead of a result."""
    return {"sentence": text, "error": error}


def view(result: Result, stem: str = "picture") -> dict[str, Any]:
    """The data that show a result. "proposals" is there if the result has proposals (``masks.py``).

    Args:
        result: the result of a picture.
        stem: the beginning of the file names of its downloads.
    """
    height, width = result.labels.shape
    masks = {}
    if result.proposals is not None:
        sheet, known = view_masks(result.proposals)
        masks = {"proposals": {"sheet": _data_url(sheet, "PNG"), **known}}
    side = min(max(height, width, SMALLEST_SIDE), LARGEST_SIDE)
    colors = colors_of(tuple(result.names))
    return {
        "photo": _data_url(Image.fromarray(fit(result.image, (side, side))), "JPEG", quality=92, subsampling=0),
        "map": _data_url(Image.fromarray(_map(result, side)), "PNG"),
        "classes": [
            {"name": each.name, "color": colors[each.id], "share": each.share, "score": each.score}
            for each in result.classes
        ],
        "kept": [each._asdict() for each in result.kept],
        "names": len(result.names),
        "size": [width, height],
        "stem": stem,
        "labels": _data_url(_labels(result), "PNG"),
        "json": _encode(_json(result, stem), "application/json"),
        **masks,
    }


def _map(result: Result, side: int) -> np.ndarray:
    """The map, (h, w, 3) uint8; see the top of this file."""
    place = np.zeros(len(result.names), np.int64)
    place[[each.id for each in result.classes]] = np.arange(len(result.classes))
    labels = place[fit(result.labels, (side, side), label=True)]
    scores = fit(result.scores, (side, side), label=True)
    return np.stack([labels % 256, labels // 256, np.rint(255 * scores.clip(0, 1))], axis=-1).astype(np.uint8)


def _labels(result: Result) -> Image.Image:
    """The label map in full size, as ``Result.save`` writes it."""
    return Image.fromarray(result.labels.astype(np.uint8 if len(result.names) <= 256 else np.uint16))


def _json(result: Result, stem: str) -> bytes:
    content = {**result.to_dict(), "image": stem, "annotations": result.to_coco()}
    return json.dumps(content, ensure_ascii=False).encode()


def _data_url(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return _encode(buffer.getvalue(), f"image/{kind.lower()}")


def _encode(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
