"""The inputs of the model: images from files or drawn scenes, and labels for training.

Shapes: S the side of a drawn scene, T names.
"""

from collections.abc import Sequence

import numpy as np
import torch
from detectron2.config import CfgNode
from torch import Tensor

from ..data.files import read_rgb

REGIONS = 12  # of a drawn scene; about the number of classes in an image of COCO-Stuff
IGNORED_ROWS = 8  # ignored rows of a drawn label


def image_batches(batch: int, files: Sequence[str], side: int) -> list[list[dict]]:
    """Batches that hold every image at least once; the first images fill up the last batch.

    Args:
        batch: the batch size.
        files: the image files; empty: one batch of drawn scenes.
        side: the side of a drawn scene, in pixels.
    """
    if files:
        images = [torch.from_numpy(np.ascontiguousarray(read_rgb(str(path)).transpose(2, 0, 1))) for path in files]
    else:
        images = [scene(side, seed)[0] for seed in range(batch)]
    count = -(-len(images) // batch) * batch
    inputs = [{"image": images[i % len(images)]} for i in range(count)]
    return [inputs[i : i + batch] for i in range(0, count, batch)]


def loaded_side(cfg: CfgNode, picture: int) -> int:
    """The side of a square picture after the loader; ``picture`` 0: the test resolution."""
    return (cfg.INPUT.MIN_SIZE_TEST or picture) if picture else cfg.INPUT.RESOLUTION_TEST


def training_batch(batch: int, side: int, num_names: int, ignore_label: int) -> list[dict]:
    """A batch of drawn scenes; each label has about a dozen classes and some ignored pixels."""
    inputs = []
    for seed in range(batch):
        image, regions = scene(side, seed)
        classes = torch.randperm(num_names, generator=torch.Generator().manual_seed(seed))
        labels = classes[regions % num_names]
        labels[:IGNORED_ROWS] = ignore_label
        inputs.append({"image": image, "sem_seg": labels, "file_name": f"scene {seed}"})
    return inputs


def scene(side: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A scene with edges, textures and shading: (3, S, S) uint8 RGB, and the region of each pixel (S, S) int64."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    wavy_y, wavy_x = y + 0.02 * np.sin(9 * x + seed), x + 0.02 * np.sin(11 * y)
    centres = random.random((REGIONS, 2))
    distances = [(wavy_y - centre_y) ** 2 + (wavy_x - centre_x) ** 2 for centre_y, centre_x in centres]
    regions = np.argmin(distances, axis=0)
    angle, pitch = random.uniform(0, np.pi, REGIONS)[regions], random.uniform(20, 90, REGIONS)[regions]
    stripes = np.sin(2 * np.pi * pitch * (np.cos(angle) * x + np.sin(angle) * y))
    colour = random.uniform(40, 215, (REGIONS, 3))[regions]
    shade = 0.75 + 0.5 * x * (1 - y)
    image = (colour + 25 * stripes[..., None]) * shade[..., None] + random.normal(0, 6, (side, side, 3))
    pixels = np.ascontiguousarray(image.clip(0, 255).astype(np.uint8).transpose(2, 0, 1))
    return torch.from_numpy(pixels), torch.from_numpy(regions)
