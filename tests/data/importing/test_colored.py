"""Masks of colours with a table in the usual forms."""

import numpy as np
import pytest
from PIL import Image

from errseg.data.importing.colored import read_colors
from errseg.errors import UsageError
from tests.data.importing.conftest import HEIGHT, WIDTH

PAIRS = [((64, 128, 64), "Animal"), ((192, 0, 128), "Arch way")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_dict.csv", "name,r,g,b\nAnimal,64,128,64\nArch way,192,0,128\n"),
        ("label_colors.txt", "64 128 64\tAnimal\n192 0 128\tArch way\n"),
        ("colors.json", '{"Animal": [64, 128, 64], "Arch way": "#c00080"}'),
        ("colors.yaml", "'#408040': Animal\n'192, 0, 128': Arch way\n"),
        ("a.json", '[{"name": "Animal", "color": [64, 128, 64]}, {"label": "Arch way", "rgb": [192, 0, 128]}]'),
        ("labelmap.txt", "Animal:64,128,64::\nArch way:192,0,128::\n"),
    ],
)
def test_tables(tmp_path, write, name, text):
    assert read_colors(write(tmp_path / name, text)) == PAIRS


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "name,r,g,b\nAnimal,64,128\n", "Line 2 of .*'Animal,64,128', has not a name and three numbers"),
        ("a.csv", "Animal,64,128,300\n", "Line 1 of"),
        ("a.txt", "1 2 3 cat\n1 2 3 dog\n", r"gives the colour \[1, 2, 3\] to 'cat' and 'dog'; keep one"),
        ("a.txt", "\n", "holds no colour"),
        ("a.json", '{"cat": 3}', "has 3 for cat, no colour; give"),
        ("a.json", "3", "is no object"),
        ("a.json", '[{"color": [1, 2, 3]}]', "gives no name"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, write, name, text, reason):
    with pytest.raises(UsageError, match=reason):
        read_colors(write(tmp_path / name, text))


def test_a_folder_of_masks(tmp_path, picture, write, imported):
    root = tmp_path / "camvid"
    write(root / "class_dict.csv", "name,r,g,b\nAnimal,64,128,64\nArch way,192,0,128\nVoid,0,0,0\n")
    mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    mask[:7], mask[7:11] = PAIRS[0][0], PAIRS[1][0]
    for name in "abc":
        (root / "labels").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / f"labels/{name}_L.png")
        picture(root / "images" / f"{name}.JPG") if name != "c" else None
    mask[0, 0] = 1
    Image.fromarray(mask).save(root / "labels/b_L.png")
    report, label = imported(root, mask_ending="_L.png", ignore=("Void",))
    assert report["format"] == "colors" and report["pictures"] == 1
    assert (label("a") == np.repeat([0, 1, 255], [7, 4, 9])[:, None]).all()
    assert any("c_L.png is missing" in each for each in report["left_out"])
    assert any("1 colours that the key colors does not name" in each for each in report["left_out"])
    with pytest.raises(UsageError, match="None of the 3 images"):
        imported(root)
