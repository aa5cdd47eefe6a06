"""Segment a video. Only one batch of frames is in memory at a time."""

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from errseg.api import Segmenter
from errseg.atomic import replacing
from errseg.errors import UsageError

__all__ = ["segment_video"]

RATE = 25.0  # frames per second, where a video does not give its rate
LEGEND_HEIGHT = 246  # the largest height of a plot whose picture is lower than its legend
MISSED = 0.02  # share of the header's frames that may be missing; some headers count one or two frames too many
CODEC = "mp4v"
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # no log lines: a message at the end says what is wrong


def segment_video(
    model: Segmenter,
    path: str,
    target: Path,
    formats: Sequence[str],
    every: int = 1,
    batch: int = 1,
    background: str | None = None,
    min_confidence: float = 0.5,
) -> None:
    """Segment every ``every``-th frame. Write the overlays as a video of the same length, and files for each frame.

    Args:
        model: the model, with its vocabulary.
        path: path of the video.
        target: path of the outputs, to which ``_overlay.mp4`` and ``_frames`` are added.
        formats: formats of ``Result.save``. All but "overlay" are files in the folder of the frames.
        every: 1 for all frames.
        batch: frames in a batch of the model.
        background: see ``Segmenter``.
        min_confidence: see ``Segmenter``.

    Raises:
        UsageError: the video cannot be read, or not to its end; the frames before the damage are written.
    """
    for name in (path, str(target)):
        _check_encoding(name)
    others, written = [each for each in formats if each != "overlay"], set()
    with closing(_Frames(path, every)) as frames, ExitStack() as stack:
        if "overlay" in formats:
            writer = stack.enter_context(_video(Path(f"{target}_overlay.mp4"), frames.rate / every))
        results = model(iter(frames), background, min_confidence, batch)
        bar = tqdm(results, Path(path).name, frames.wanted, leave=False, unit="frame", disable=None)
        for number, result in enumerate(bar):
            if "overlay" in formats:
                writer.write(np.asarray(result.plot()))
            if others:
                result = replace(result, source=f"{path}#frame={number * every}")
                written |= set(result.save(f"{target}_frames", others, f"{number * every:06d}"))
    if others:
        _remove_others(Path(f"{target}_frames"), written)
    frames.check()


class _Frames:
    """Reads every ``every``-th frame of a video."""

    def __init__(self, path: str, every: int):
        self.path = path
        self.every = every
        self.seen = 0
        self.capture = cv2.VideoCapture(path)
        if not self.capture.isOpened():
            raise UsageError(f"The video {path} cannot be read: it is damaged, cut off, or in a format unknown here.")
        rate, count = self.capture.get(cv2.CAP_PROP_FPS), self.capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate = rate if 0 < rate < math.inf else RATE
        self.count = int(count) if 0 < count < math.inf else None  # number of frames by the header
        self.wanted = self.count and math.ceil(self.count / every)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Each frame: (H, W, 3) uint8 RGB."""
        while self.capture.grab():
            if self.seen % self.every == 0:
                whole, frame = self.capture.retrieve()
                if not whole:
                    break
                yield frame[:, :, ::-1]
            self.seen += 1
        if self.seen == 0:
            raise UsageError(f"The video {self.path} has no frame that can be read.")

    def check(self) -> None:
        """Raise UsageError if frames are missing at the end."""
        if self.count and self.seen < self.count * (1 - MISSED) - 2:
            raise UsageError(
                f"The video {self.path} ends after {self.seen} of {self.count} frames: it is damaged or cut off. "
                "The frames before are segmented."
            )

    def close(self) -> None:
        self.capture.release()


class _Writer:
    """Writes pictures as a video. All are padded to the size of the first, and at least to LEGEND_HEIGHT."""

    def __init__(self, path: Path, rate: float):
        self.path = path
        self.rate = rate
        self.size = (0, 0)
        self.written = 0
        self.file: cv2.VideoWriter | None = None

    def write(self, picture: np.ndarray) -> None:
        """Add a picture, (H, W, 3) uint8 RGB."""
        height, width = picture.shape[:2]
        if self.file is None:
            self.size = _even(max(height, LEGEND_HEIGHT)), _even(width)
            self.file = cv2.VideoWriter(str(self.path), cv2.VideoWriter_fourcc(*CODEC), self.rate, self.size[::-1])
            if not self.file.isOpened():
                raise UsageError(f"The video {self.path} cannot be written; make room, or give another --out.")
        frame = np.full((*self.size, 3), 255, np.uint8)
        frame[:height, :width] = picture[:, :, ::-1]
        self.file.write(frame)
        self.written += 1

    def close(self) -> None:
        if self.file is not None:
            self.file.release()

    def is_whole(self) -> bool:
        """Whether the closed file has all pictures. OpenCV reports no error when the disk is full."""
        capture = cv2.VideoCapture(str(self.path))
        count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        capture.release()
        return count == self.written


@contextmanager
def _video(path: Path, rate: float) -> Iterator[_Writer]:
    """A writer of a video. The file gets its name only when it is complete."""
    with replacing(path) as temporary:
        file = temporary.with_name(f"{temporary.name}.mp4")  # OpenCV chooses the format by the ending
        writer = _Writer(file, rate)
        try:
            yield writer
            writer.close()
            if not writer.is_whole():
                raise UsageError(f"The video {path} cannot be written to its end; make room, or give another --out.")
            os.replace(file, temporary)
        finally:
            writer.close()
            file.unlink(missing_ok=True)


def _check_encoding(name: str) -> None:
    """Raise UsageError if a path is not valid UTF-8: OpenCV would end the process."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"The video's path {name!r} is no UTF-8; rename it.") from error


def _remove_others(folder: Path, written: set[Path]) -> None:
    """Remove the files of frames that remain from an earlier, longer video or from a smaller ``every``."""
    for path in folder.iterdir():
        if re.fullmatch(r"\d{6,}(_labels\.png|\.json|_rle\.json)", path.name) and path not in written:
            path.unlink()


def _even(length: int) -> int:
    return length + length % 2
