"""ultralytics' YAML file with polygons in text files."""

import numpy as np
import pytest

from errseg.errors import UsageError
from tests.data.importing.conftest import HEIGHT, WIDTH

YAML = "path: ../data\ntrain: images/train\nval: images/val\nnames:\n  0: person\n  1: red car\n"


@pytest.fixture
def source(tmp_path, picture, write):
    for name in ("train/a.jpg", "val/b.jpg", "val/deep/c.jpg"):
        picture(tmp_path / "data/images" / name)
    write(tmp_path / "data/labels/val/b.txt", "1 0 0 0.5 0 0.5 0.5 0 0.5\n\n0 0.5 0.5 0.2 0.2\n")
    return write(tmp_path / "yaml/data.yaml", YAML)


def test_polygons_of_a_split(source, imported):
    report, label = imported(source, split="val")
    assert report["format"] == "ultralytics" and [each["name"] for each in report["classes"]] == ["person", "red car"]
    expected = np.full((HEIGHT, WIDTH), 255)
    expected[:10, :15] = 1
    assert np.array_equal(label("b"), expected) and report["empty_pictures"] == ["deep/c.jpg"]
    assert report["dropped_regions"] == [
        {"picture": "b.jpg", "name": "person", "reason": "it is a box, which has no mask"}
    ]


def test_what_does_not_fit_is_named(source, imported, write, tmp_path):
    with pytest.raises(UsageError, match="has the splits train, val; give one of them with --split"):
        imported(source)
    write(tmp_path / "data/labels/train/a.txt", "2 0 0 1 0 1 1\n")
    with pytest.raises(UsageError, match="Line 1 of .* has the class 2, but there are 2 names"):
        imported(source, split="train")
    write(tmp_path / "data/labels/train/a.txt", "x 0 0 1 0 1 1\n")
    with pytest.raises(UsageError, match="'x 0 0 1 0 1 1', is no class with numbers; correct it"):
        imported(source, split="train")
    with pytest.raises(UsageError, match="names 'images/nowhere', which is not in .*; correct path"):
        imported(write(source, YAML.replace("images/train", "images/nowhere")), split="train")
