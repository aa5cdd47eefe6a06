"""CVAT's "Segmentation mask 1.1" and "CVAT for images 1.1"."""

import numpy as np
import pytest
from PIL import Image

from errseg.errors import UsageError
from tests.data.importing.conftest import HEIGHT, WIDTH

LABELMAP = """\
# label:color_rgb:parts:actions
background:0,0,0::
crack:250,50,83::
dark rust:51,221,255::
"""
XML = """\
<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels>
    <label><name>dark rust</name><color>#33ddff</color></label>
    <label><name>crack</name><color>#fa3253</color></label>
  </labels></task></meta>
  <image id="0" name="site/a.jpg" width="30" height="20">
    <polygon label="crack" occluded="0" z_order="1" points="4.00,2.00;9.00,2.00;9.00,8.00;4.00,8.00"></polygon>
    <polygon label="dark rust" occluded="0" z_order="0" points="0,0;30,0;30,10;0,10"></polygon>
    <mask label="crack" occluded="0" rle="1, 2, 1, 2" left="20" top="15" width="3" height="2" z_order="0"></mask>
    <box label="crack" occluded="0" xtl="0" ytl="0" xbr="5" ybr="5" z_order="0"></box>
    <mask label="crack" occluded="0" rle="1, 2" left="20" top="15" width="3" height="2" z_order="0"></mask>
    <mask label="crack" occluded="0" rle="999999999" left="20" top="15" width="999999999" height="1"></mask>
  </image>
</annotations>
"""


@pytest.fixture
def masks(tmp_path, picture, write):
    """The folders of an export with images: two masks, of which one is listed in val.txt."""
    root = tmp_path / "cvat"
    write(root / "labelmap.txt", LABELMAP)
    write(root / "ImageSets/Segmentation/val.txt", "b\n")
    for name in "ab":
        picture(root / "JPEGImages" / f"{name}.jpg")
        mask = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        mask[:5], mask[5:9] = (250, 50, 83), (51, 221, 255)
        (root / "SegmentationClass").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "SegmentationClass" / f"{name}.png")
    return root


def test_masks_of_a_label_map(masks, imported):
    report, label = imported(masks)
    assert report["format"] == "cvat" and report["pictures"] == 2
    assert [each["name"] for each in report["classes"]] == ["background", "crack", "dark rust"]
    assert (label("a") == np.repeat([1, 2, 0], [5, 4, 11])[:, None]).all()
    report, label = imported(masks, split="val", ignore=("background",))
    assert report["pictures"] == 1 and (label("b") == np.repeat([0, 1, 255], [5, 4, 11])[:, None]).all()
    assert not (masks.parent / "out/labels/a.png").exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("crack:::\n", "gives no colour to 'crack'; add it"),
        ("crack:999,0,0::\n", "gives no colour to 'crack'; add it"),
        ("crack\n", "has the line 'crack', not label:r,g,b:parts:actions"),
        (LABELMAP + "moss:51,221,255::\n", r"gives the colour \(51, 221, 255\) to two names"),
        ("# nothing\n", "holds no label"),
        ("crack:1,2,3::\n", r"labels? .*a.png has 3 colours .*most often #000000 \(0, 0, 0\)"),
    ],
)
def test_label_maps_that_do_not_fit(masks, imported, write, text, reason):
    write(masks / "labelmap.txt", text)
    with pytest.raises(UsageError, match=reason):
        imported(masks)


def test_polygons_and_masks_of_xml(tmp_path, picture, write, imported):
    picture(tmp_path / "task/images/site/a.jpg")
    path = write(tmp_path / "task/annotations.xml", XML)
    report, label = imported(tmp_path / "task")
    assert report["format"] == "cvat-xml"
    assert [each["name"] for each in report["classes"]] == ["dark rust", "crack"]
    expected = np.full((HEIGHT, WIDTH), 255)
    expected[:10] = 0
    expected[2:8, 4:9] = 1  # its z_order is higher, though it comes first
    expected[15, 21:23] = expected[16, 21:23] = 1
    assert np.array_equal(label("site/a"), expected)
    reasons = [each["reason"] for each in report["dropped_regions"]]
    assert sorted(reasons) == [
        "it is a box, which has no mask",
        "its mask leaves the picture",
        "its runs do not fill its rectangle",
    ]
    for change, reason in (
        (("<image id", "<image><image id"), "is no XML"),
        (("<annotations>", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>'), "has a document type"),
        (('width="30" ', ""), "without its size; add it"),
        (("site/a.jpg", "site/z.jpg"), "None of the 1 images"),
    ):
        write(path, XML.replace(*change, 1))
        with pytest.raises(UsageError, match=reason):
            imported(path)
