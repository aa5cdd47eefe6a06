"""The result of segmenting one picture, as arrays, tables, files and pictures."""

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from errseg.atomic import replacing
from errseg.errors import UsageError
from errseg.visualization import panel

from .names import clean_name
from .proposals import Proposals

__all__ = ["FORMATS", "ClassScore", "Detections", "KeptName", "Result", "check_confidence"]

FORMATS = ("overlay", "labels", "json", "rle")
SMALLEST_SIDE = 480  # least length of a plot's longer side, in pixels, so that a legend fits beside it
LEGEND_WIDTH = 280
BLOCK = 1 << 23  # pixels that are counted at a time


class ClassScore(NamedTuple):
    """A name that has pixels."""

    id: int
    name: str
    area: int  # pixels
    share: float  # of the picture, 0 to 1
    score: float  # mean confidence of its pixels


class KeptName(NamedTuple):
    """A name that the system kept for the picture."""

    name: str
    score: float | None  # ERR-Seg: CRM's points per location, 1 where the name is the best everywhere; None: no ranking


@dataclass
class Detections:
    """The masks of a picture, one for each name, with the fields of ``supervision.Detections``.

    The library supervision is not needed. With it, ``supervision.Detections(**vars(detections))`` converts the object.

    Attributes:
        xyxy: (N, 4) float32 boxes around the masks: left, top, right + 1, bottom + 1, in pixels.
        mask: (N, H, W) bool.
        confidence: (N,) float32, mean over the mask.
        class_id: (N,) int, indices of the names.
        data: ``{"class_name": (N,) str}``.
    """

    xyxy: np.ndarray
    mask: np.ndarray
    confidence: np.ndarray
    class_id: np.ndarray
    data: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.class_id)


@dataclass(frozen=True, eq=False)
class Result:
    """The result of segmenting one picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        labels: (H, W) int32, indices into ``names``.
        scores: (H, W) float32, the confidence in the name of each pixel, from 0 to 1. ERR-Seg: the sigmoid score of the
            best name; the scores of all names do not add up to 1. A mask-based system: the best name's score, over the
            sum of the probabilities of all masks at the pixel.
        names: the names of the vocabulary. A ``background`` that is not one of them comes last.
        kept: the names that the system kept, best first.
        source: path of the picture; None where it has no path.
        proposals: the masks of a mask-based system, if they were asked for.
    """

    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    kept: list[KeptName] = field(repr=False, default_factory=list)
    source: str | None = None
    proposals: Proposals | None = field(repr=False, default=None)

    def __str__(self) -> str:
        height, width = self.labels.shape
        shares = ", ".join(f"{each.name} {100 * each.share:.1f} %" for each in self.classes[:10])
        more = f" and {len(self.classes) - 10} more" if len(self.classes) > 10 else ""
        return f"{self.source or 'image'} ({width} x {height}): {shares}{more}"

    @cached_property
    def classes(self) -> list[ClassScore]:
        """The names that have pixels, largest first."""
        areas, sums = np.zeros(len(self.names), np.int64), np.zeros(len(self.names))
        for start in range(0, self.labels.size, BLOCK):  # bincount makes copies of 8 bytes a pixel
            labels, scores = (each.ravel()[start : start + BLOCK] for each in (self.labels, self.scores))
            areas = areas + np.bincount(labels, minlength=len(self.names))
            sums = sums + np.bincount(labels, scores, minlength=len(self.names))
        found = [
            ClassScore(i, self.names[i], int(areas[i]), float(areas[i] / self.labels.size), float(sums[i] / areas[i]))
            for i in np.flatnonzero(areas).tolist()
        ]
        return sorted(found, key=lambda each: -each.area)

    def mask(self, name: str) -> np.ndarray:
        """The mask of a name: (H, W) bool; all False if the name has no pixel.

        Args:
            name: one of ``names``, or the first synonym of one.

        Raises:
            UsageError: the vocabulary has no such name.
        """
        return self.labels == self._index(name)

    def with_background(self, name: str, min_confidence: float) -> "Result":
        """A copy in which pixels below a confidence get another name; the confidences do not change.

        Args:
            name: one of ``names``, or a new name.
            min_confidence: 0 to 1.

        Raises:
            UsageError: the name is invalid, or the confidence is not from 0 to 1.
        """
        name = clean_name(name)
        check_confidence(min_confidence)
        names = self.names if name in self.names else (*self.names, name)
        labels = np.where(self.scores < min_confidence, np.int32(names.index(name)), self.labels)
        return replace(self, labels=labels, names=names)

    def plot(self, alpha: float = 0.6, max_side: int = 1280) -> Image.Image:
        """The picture under the colours of its names, with a legend of their shares.

        Args:
            alpha: 0: the grey picture; 1: the colours, flat.
            max_side: largest length of the picture's longer side, in pixels; a larger picture is drawn smaller.

        Raises:
            UsageError: ``alpha`` is not from 0 to 1.
        """
        if not 0 <= alpha <= 1:
            raise UsageError(f"alpha = {alpha}; give 0 (only the grey picture) to 1 (only the colours).")
        height, width = self.labels.shape
        side = min(max(height, width, SMALLEST_SIDE), max_side)
        drawn = panel(self.image, self.labels, self.names, None, self._box(side), LEGEND_WIDTH, alpha)
        return Image.fromarray(drawn)

    def save(
        self, folder: str | Path, formats: str | Iterable[str] = ("overlay", "labels", "json"), stem: str | None = None
    ) -> list[Path]:
        """Write the result to files. A file is written completely or not at all.

        Args:
            folder: the folder of the files; it is created if it is missing.
            formats: one or several of "overlay" (``<stem>_overlay.png``, see ``plot``), "labels"
                (``<stem>_labels.png``, ids of 8 bits, or 16 with more than 255 names), "json" (``<stem>.json``, see
                ``to_dict``) and "rle" (``<stem>_rle.json``, see ``to_coco``).
            stem: the stem of the files; None for that of the picture, or "image" where it has no path.

        Returns:
            The paths of the files.

        Raises:
            UsageError: a format is unknown, or there are too many names for a label file.
        """
        formats = [formats] if isinstance(formats, str) else list(formats)
        unknown = [each for each in formats if each not in FORMATS]
        if unknown:
            raise UsageError(f"The format {unknown[0]!r} is none of {', '.join(FORMATS)}; give some of these.")
        stem = stem or (Path(self.source).stem if self.source else "image")
        writers = {
            "overlay": (f"{stem}_overlay.png", self._write_overlay),
            "labels": (f"{stem}_labels.png", self._write_labels),
            "json": (f"{stem}.json", self._write_json),
            "rle": (f"{stem}_rle.json", self._write_rle),
        }
        paths = []
        for each in formats:
            name, write = writers[each]
            paths.append(Path(folder) / name)
            with replacing(paths[-1]) as temporary:
                write(temporary)
        return paths

    def to_dict(self) -> dict[str, Any]:
        """Size, names, names found and names kept, in types that JSON can hold."""
        height, width = self.labels.shape
        return {
            "image": self.source,
            "width": width,
            "height": height,
            "names": list(self.names),
            "classes": [each._asdict() for each in self.classes],
            "kept": [each._asdict() for each in self.kept],
        }

    def to_coco(self) -> list[dict[str, Any]]:
        """Annotations in COCO's format, one for each name that has pixels.

        An annotation has "category_id", "category_name", "segmentation" (run-length code: "size" (H, W) and "counts", a
        text), "area" in pixels, "bbox" (left, top, width, height) and "score".
        """
        annotations = []
        for each in self.classes:
            code = coco_mask.encode(np.asfortranarray(self.labels == each.id, dtype=np.uint8))
            annotations.append(
                {
                    "category_id": each.id,
                    "category_name": each.name,
                    "segmentation": {"size": list(code["size"]), "counts": code["counts"].decode("ascii")},
                    "area": each.area,
                    "bbox": coco_mask.toBbox(code).tolist(),
                    "score": each.score,
                }
            )
        return annotations

    def to_detections(self) -> Detections:
        """The masks of the names that have pixels, largest first."""
        masks = np.stack([self.labels == each.id for each in self.classes])
        return Detections(
            xyxy=np.array([_box_around(mask) for mask in masks], np.float32),
            mask=masks,
            confidence=np.array([each.score for each in self.classes], np.float32),
            class_id=np.array([each.id for each in self.classes]),
            data={"class_name": np.array([each.name for each in self.classes])},
        )

    # ---- the work ----

    def _index(self, name: str) -> int:
        if name in self.names:
            return self.names.index(name)
        first = [own.split(",")[0].strip() for own in self.names]
        if name in first:
            return first.index(name)
        near = difflib.get_close_matches(str(name), self.names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, self.names[:5]))} …"
        raise UsageError(f"The vocabulary has no name {name!r}; {hint}")

    def _box(self, side: int) -> tuple[int, int]:
        """(height, width) of the picture whose longer side is ``side``."""
        height, width = self.labels.shape
        scale = side / max(height, width)
        return max(round(height * scale), 1), max(round(width * scale), 1)

    def _write_overlay(self, path: Path) -> None:
        self.plot().save(path, format="PNG")

    def _write_labels(self, path: Path) -> None:
        if len(self.names) > 65536:
            raise UsageError(
                f"A label file has 16 bits, too few for {len(self.names)} names; leave the format 'labels' out."
            )
        dtype = np.uint8 if len(self.names) <= 255 else np.uint16
        Image.fromarray(self.labels.astype(dtype)).save(path, format="PNG")

    def _write_json(self, path: Path) -> None:
        _write_json_file(path, self.to_dict())

    def _write_rle(self, path: Path) -> None:
        height, width = self.labels.shape
        content = {"image": self.source, "width": width, "height": height, "annotations": self.to_coco()}
        _write_json_file(path, content)


def check_confidence(value: Any) -> None:
    """Raise UsageError if ``min_confidence`` is no number from 0 to 1."""
    if not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise UsageError(f"min_confidence = {value!r}; give a confidence from 0 to 1.")


def _write_json_file(path: Path, content: dict[str, Any]) -> None:
    """Write JSON in UTF-8. Bytes of a file name that are not valid UTF-8 become escapes."""
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    path.write_bytes(text.encode("utf-8", "backslashreplace"))


def _box_around(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right + 1 and bottom + 1 of a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
