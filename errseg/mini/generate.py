"""Draw the scenes of the mini world to disk: ``errseg mini draw [ROOT]``."""

import hashlib
import io
import json
import os
import shutil
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from errseg.data.parallel import parallel_map

from . import render, world
from .layout import image_folder, label_folder

__all__ = ["COUNTS", "generate", "scene_names"]

COUNTS = {"train": 3000, "seen": 160, "unseen": 160, "large": 160}
JPEG_QUALITY = (80, 96)
MAX_OBJECTS = 4  # in a scene; the least number is 2
FEW_SCENES = 64  # fewer scenes than this are drawn faster than processes start


def generate(root: Path, counts: dict[str, int] | None = None, seed: int = 0, workers: int | None = None) -> int:
    """Draw the scenes that are missing. After an interruption, the next call draws the rest.

    Args:
        root: the folder of all data sets (``$DETECTRON2_DATASETS``).
        counts: scenes per split; ``COUNTS`` if None.
        seed: the seed of the whole world; the same seed gives the same files.
        workers: number of processes; the number of usable cores if None.

    Returns:
        The number of scenes drawn.
    """
    counts = COUNTS if counts is None else counts
    _keep_or_clear(Path(root), seed)
    jobs = []
    for split, count in counts.items():
        for folder in (image_folder(root, split), label_folder(root, split)):
            folder.mkdir(parents=True, exist_ok=True)
        done = {path.stem for path in image_folder(root, split).glob("*.jpg")}
        jobs += [(split, index) for index in range(count) if f"{index:06d}" not in done]
    workers = workers or _usable_cores()
    draw = partial(_write_scene, root, seed)
    for _ in parallel_map(draw, jobs, workers if len(jobs) >= FEW_SCENES else 1, "Scenes"):
        pass
    return len(jobs)


def scene_names(split: str, index: int, seed: int) -> list[str]:
    """The compositions of a scene.

    All names of the split are shuffled; the shuffled list is a pack of cards. Each scene takes the next cards of a
    sequence of packs, so that all names occur equally often.
    """
    names = world.drawn_names(split)
    cards = []
    for card in range(index * MAX_OBJECTS, (index + 1) * MAX_OBJECTS):
        pack, place = divmod(card, len(names))
        cards.append(names[_rng(seed, split, "pack", pack).permutation(len(names))[place]])
    cards = cards[: _rng(seed, split, "count", index).integers(2, MAX_OBJECTS + 1)]
    return list(dict.fromkeys(cards))


def _rng(seed: int, split: str, purpose: str, index: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{split}/{purpose}/{index}".encode()).digest()
    return np.random.default_rng(list(digest))


def _write_scene(root: Path, seed: int, job: tuple[str, int]) -> None:
    """Draw one scene. The image is written last: if it exists, the scene is complete."""
    split, index = job
    rng = _rng(seed, split, "scene", index)
    scene = render.draw_scene(scene_names(split, index, seed), rng)
    vocabulary = world.VOCABULARIES[split]
    ids = np.array([vocabulary.index(name) for name in scene.names])
    dtype = np.uint8 if len(vocabulary) < 255 else np.uint16
    _save(ids[scene.labels].astype(dtype), label_folder(root, split) / f"{index:06d}.png", "PNG")
    _save(scene.image, image_folder(root, split) / f"{index:06d}.jpg", "JPEG", quality=int(rng.integers(*JPEG_QUALITY)))


def _save(pixels: np.ndarray, path: Path, file_format: str, **options: int) -> None:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, file_format, **options)
    _write(path, data.getvalue())


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def _keep_or_clear(root: Path, seed: int) -> None:
    """Remove the scenes if they are of another seed or of another version of this code."""
    sources = b"".join(Path(module.__file__).read_bytes() for module in (world, render))
    expected = {"seed": seed, "sources": hashlib.sha256(sources).hexdigest()}
    manifest = root / "mini" / "world.json"
    if manifest.is_file() and json.loads(manifest.read_text()) == expected:
        return
    for folder in ("images", "annotations_detectron2"):
        shutil.rmtree(root / "mini" / folder, ignore_errors=True)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    _write(manifest, json.dumps(expected).encode())


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    import sys

    from errseg.cli import main

    sys.exit(main(["mini", "draw", *sys.argv[1:]]))
