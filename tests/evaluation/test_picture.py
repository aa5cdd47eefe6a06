"""The picture of confusions: names that stay apart and fit, and pictures of nothing."""

import warnings

import numpy as np
import pytest
from PIL import Image

from errseg.evaluation.picture import NAME_LENGTH, draw_confusions, short_names


def test_names_are_short_and_apart():
    names = ["screen, crt screen", "screen door", "screen, silver screen", "cost in $", "x" * 60, ", odd"]
    found = short_names(names)
    assert found[:4] == ["screen (0)", "screen door", "screen (2)", r"cost in \$"]
    assert len(found[4]) == NAME_LENGTH and found[4].endswith("…") and found[5] == ", odd"


@pytest.mark.parametrize("classes", [2, 847])
def test_a_picture_is_readable_however_many_classes_there_are(tmp_path, classes):
    random = np.random.default_rng(0)
    matrix = random.integers(0, 1000, (classes + 1,) * 2)
    path = tmp_path / "deep/er.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of glyphs that it lacks, and of labels without room
        draw_confusions(path, matrix, [f"class {i}" for i in range(classes)], "T")
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        assert picture.width == 1650 and 190 < picture.height < 900
    for colour in ((31, 119, 180), (255, 127, 14)):  # the bars of both halves
        assert (pixels == colour).all(1).sum() > 2000


def test_a_perfect_prediction_and_an_empty_set_have_pictures_too(tmp_path):
    for i, matrix in enumerate((np.diag([5, 6, 0]), np.zeros((3, 3), int))):
        draw_confusions(tmp_path / f"{i}.png", matrix, ["a", "b"], "T")
        assert Image.open(tmp_path / f"{i}.png").size == (1650, 195)
