"""The data for pretraining the mini CLIP: scenes in memory, crops of objects and grounds, captions of the crops."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .layout import image_folder, label_folder
from .world import GROUNDS, VOCABULARIES, parts

__all__ = ["CropSampler", "Scenes", "caption_words", "jitter_light", "load_scenes", "phrase", "to_input"]

CROP_SIZE = 64
MIN_OBJECT = 20  # least pixels of the shorter side of an object's visible box
GROUND_SHARE = 0.08  # share of the crops that show a ground
PARTIAL_SHARE = 0.4  # share of the captions of objects that lack some words
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # as in ERR-Seg


class Scenes(NamedTuple):
    """Scenes in memory: ``images`` (N, H, W, 3) uint8 RGB, ``labels`` (N, H, W) indices into ``names``."""

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


class Instance(NamedTuple):
    """The position of an object: its scene, its label, and the centre and longer side of its visible box, in pixels."""

    scene: int
    label: int
    x: float
    y: float
    extent: float


def load_scenes(root: Path, split: str, limit: int | None = None) -> Scenes:
    """Read a split from disk, its first ``limit`` scenes if given.

    Raises:
        FileNotFoundError: the split has no scenes.
    """
    paths = sorted(image_folder(root, split).glob("*.jpg"))[:limit]
    if not paths:
        raise FileNotFoundError(
            f"There is no scene in {image_folder(root, split)}; draw them with errseg mini draw {root}."
        )
    images = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    labels = [np.asarray(Image.open(label_folder(root, split) / f"{path.stem}.png")) for path in paths]
    return Scenes(np.stack(images), np.stack(labels), VOCABULARIES[split])


def find_objects(scenes: Scenes) -> list[Instance]:
    """The objects whose visible box is large enough. In a scene, all objects have different names."""
    found = []
    for scene, labels in enumerate(scenes.labels):
        for label in np.unique(labels):
            rows, columns = np.nonzero(labels == label)
            y0, y1, x0, x1 = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
            if scenes.names[label] not in GROUNDS and min(y1 - y0, x1 - x0) >= MIN_OBJECT:
                found.append(Instance(scene, int(label), (x0 + x1) / 2, (y0 + y1) / 2, max(y1 - y0, x1 - x0)))
    return found


class CropSampler:
    """Draws square crops (S, S, 3) uint8 of objects and of grounds, with jitter of position, scale and light.

    Args:
        scenes: the source of the crops.
    """

    def __init__(self, scenes: Scenes):
        self.scenes = scenes
        self.objects = find_objects(scenes)

    def __call__(self, rng: random.Random) -> tuple[np.ndarray, str]:
        """A crop, and the name of the object or ground in it."""
        if rng.random() < GROUND_SHARE:
            return self._ground(rng)
        instance = rng.choice(self.objects)
        side = instance.extent * rng.uniform(1.1, 1.6)
        shift = (side - 0.8 * instance.extent) / 2
        x, y = instance.x + rng.uniform(-shift, shift), instance.y + rng.uniform(-shift, shift)
        crop = self._window(instance.scene, x, y, side, mirror=rng.random() < 0.5)
        return jitter_light(crop, rng), self.scenes.names[instance.label]

    def centred(self, instance: Instance) -> np.ndarray:
        """The crop around an object without any jitter."""
        return self._window(instance.scene, instance.x, instance.y, 1.25 * instance.extent, mirror=False)

    def _ground(self, rng: random.Random) -> tuple[np.ndarray, str]:
        """A crop of which more than 90 % is one ground, and the ground's name."""
        size = self.scenes.images.shape[1]
        while True:
            scene, side = rng.randrange(len(self.scenes.images)), rng.uniform(40, 70)
            x, y = rng.uniform(side / 2, size - side / 2), rng.uniform(side / 2, size - side / 2)
            window = np.s_[scene, int(y - side / 2) : int(y + side / 2), int(x - side / 2) : int(x + side / 2)]
            labels, counts = np.unique(self.scenes.labels[window], return_counts=True)
            name = self.scenes.names[labels[counts.argmax()]]
            if name in GROUNDS and counts.max() > 0.9 * counts.sum():
                return jitter_light(self._window(scene, x, y, side, mirror=False), rng), name

    def _window(self, scene: int, x: float, y: float, side: float, mirror: bool) -> np.ndarray:
        scale, half = CROP_SIZE / side, CROP_SIZE / 2
        across = -scale if mirror else scale
        matrix = np.float32([[across, 0, half - across * x], [0, scale, half - scale * y]])
        image = self.scenes.images[scene]
        return cv2.warpAffine(image, matrix, (CROP_SIZE, CROP_SIZE), borderMode=cv2.BORDER_REFLECT_101)


def jitter_light(image: np.ndarray, rng: random.Random) -> np.ndarray:
    """Change contrast and brightness slightly. The hue does not change, because names contain colours."""
    return cv2.convertScaleAbs(image, alpha=rng.uniform(0.75, 1.25), beta=rng.uniform(-20, 20))


def caption_words(name: str, rng: random.Random) -> frozenset[str]:
    """The words of a caption of ``name``: all its words, or some of them."""
    words = parts(name)
    if len(words) == 1 or rng.random() >= PARTIAL_SHARE:
        return frozenset(words)
    return frozenset(rng.sample(words, rng.randint(1, len(words) - 1)))


def phrase(name: str, words: frozenset[str]) -> str:
    """The text of a caption: its words in the order of ``name``, and a noun: "red ring", "striped shape"."""
    kept = [word for word in parts(name) if word in words]
    return " ".join(kept if parts(name)[-1] in words else [*kept, "shape"])


def to_input(images: Sequence[np.ndarray]) -> Tensor:
    """B images (H, W, 3) uint8 RGB -> (B, 3, H, W), normalised."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
