"""Example pictures: drawn scenes, with the names in them and some other names."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from errseg.atomic import replacing
from errseg.mini.render import draw_scene
from errseg.mini.world import GROUNDS, drawn_names

__all__ = ["Example", "draw_examples"]

COUNT, OBJECTS, OTHERS = 4, 3, 3


class Example(NamedTuple):
    path: Path
    names: list[str]


def draw_examples(folder: Path) -> list[Example]:
    """Draw the example pictures, the same ones every time.

    Args:
        folder: the folder of the pictures; it is created if it is missing.
    """
    examples = []
    for number in range(1, COUNT + 1):
        random = np.random.default_rng(number)
        names = drawn_names("seen" if number % 2 else "unseen")
        chosen = [names[i] for i in random.permutation(len(names))]
        scene = draw_scene(chosen[:OBJECTS], random)
        others = [name for name in (*GROUNDS, *chosen[OBJECTS:]) if name not in scene.names]
        path = folder / f"scene_{number}.png"
        with replacing(path) as temporary:
            Image.fromarray(scene.image).save(temporary, format="PNG")
        asked = scene.names + others[:1] + others[-OTHERS:]
        examples.append(Example(path, sorted(str(name) for name in asked)))
    return examples
