"""Colours of classes, as scripts that register data sets ask for them."""

import numpy as np
import pytest
from detectron2.utils.colormap import colormap


def test_colours():
    colors = colormap(rgb=True)
    assert colors.dtype == np.float32 and colors.shape[1] == 3 and len(colors) >= 74
    assert colors.min() >= 0 and 200 < colors.max() <= 255
    assert len(np.unique(colors[[0, 2, 6, 15, 4, 3, 5, 1]], axis=0)) == 8
    assert np.array_equal(colormap(), colors[:, ::-1]) and np.allclose(colormap(True, 1) * 255, colors)
    with pytest.raises(AssertionError):
        colormap(maximum=2)
