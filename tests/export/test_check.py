"""The pictures on which an exported file is compared."""

import numpy as np

from errseg.export.check import drawn_pictures


def test_drawn_pictures_differ():
    pictures = drawn_pictures(96, 128)
    assert pictures.shape == (2, 3, 96, 128) and pictures.dtype == np.uint8
    assert (pictures[0] != pictures[1]).mean() > 0.5
