"""Colours of classes for drawings. They are not Detectron2's colours, but there are as many or more."""

import colorsys

import numpy as np

from ..outside import outside

__all__ = ["colormap"]

__getattr__ = outside(globals())

COUNT = 80
TURN = 0.381966  # of the circle of hues, from one colour to the next: the golden section, so that neighbours differ


def colormap(rgb: bool = False, maximum: int = 255) -> np.ndarray:
    """Colours, one for each class.

    Args:
        rgb: red first; False: blue first.
        maximum: largest value, 255 or 1.

    Returns:
        (80, 3) float32.
    """
    if maximum not in (255, 1):
        raise AssertionError(f"maximum is {maximum}: choose 255 or 1.")
    rows = [colorsys.hsv_to_rgb(i * TURN % 1, (1, 0.6, 0.8)[i % 3], (1, 0.9, 0.65)[i % 3]) for i in range(COUNT)]
    colors = np.array(rows, np.float32) * maximum
    return colors if rgb else colors[:, ::-1]
