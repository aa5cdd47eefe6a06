"""Which label belongs to which image."""

import logging
import os
from pathlib import Path

import pytest

from errseg.data.pairing import find_files, pair_files
from errseg.errors import UsageError


@pytest.fixture
def make(tmp_path):
    """``make(images, labels)``: write empty files of these names in two folders; return the paths of the folders."""

    def touch(*lists):
        folders = (tmp_path / "images", tmp_path / "labels")
        for folder, names in zip(folders, lists, strict=True):
            folder.mkdir(exist_ok=True)
            for name in names:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
        return folders

    return touch


def names(records: list[dict[str, str]], root: Path) -> list[tuple[str, str]]:
    keys = ("file_name", "sem_seg_file_name")
    return [tuple(os.path.relpath(record[key], root).replace(os.sep, "/") for key in keys) for record in records]


def test_sub_folders_endings_of_any_kind_and_hidden_files(make, tmp_path):
    images = ["b/1.jpg", "a/1.JPG", "a/2.webp", "c.tiff", "._c.tiff", ".cache/9.jpg", "notes.txt", "10.bmp", "9.png"]
    labels = ["a/1.png", "a/2.tif", "b/1.PNG", "c.tiff", "9.png", "10.png", "._9.png", "labels.csv"]
    records = pair_files("my.yaml", *make(images, labels))
    assert names(records, tmp_path) == [
        ("images/10.bmp", "labels/10.png"),
        ("images/9.png", "labels/9.png"),
        ("images/a/1.JPG", "labels/a/1.png"),
        ("images/a/2.webp", "labels/a/2.tif"),
        ("images/b/1.jpg", "labels/b/1.PNG"),
        ("images/c.tiff", "labels/c.tiff"),
    ]


def test_endings_that_are_more_than_an_extension(make, tmp_path):
    images = ["ulm/ulm_1_left.png", "ulm/ulm_2_left.png", "bonn/bonn_1_left.png"]
    labels = [f"{stem[:-9]}_{kind}.png" for stem in images for kind in ("ids", "color", "instances")]
    records = pair_files("my.yaml", *make(images, labels), ("_left.png",), ("_ids.png",))
    assert names(records, tmp_path)[0] == ("images/bonn/bonn_1_left.png", "labels/bonn/bonn_1_ids.png")
    assert len(records) == 3


def test_one_folder_may_hold_both(make, tmp_path):
    folder, _ = make(["1.jpg", "1_seg.png", "2.jpg", "2_seg.png"], [])
    records = pair_files("my.yaml", folder, folder, (".jpg",), ("_seg.png",))
    assert names(records, folder) == [("1.jpg", "1_seg.png"), ("2.jpg", "2_seg.png")]


def test_images_without_a_label_are_left_out_and_counted(make, caplog):
    with caplog.at_level(logging.WARNING):
        records = pair_files("my.yaml", *make(["1.jpg", "2.jpg", "3.jpg"], ["2.png"]))
    assert [Path(record["file_name"]).name for record in records] == ["2.jpg"]
    assert "my.yaml: 2 of 3 images have no label and are left out" in caplog.text and "1.jpg" in caplog.text


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (["1.jpg"], ["1.png", "2.png", "3.png"], "lacks the image of 2 of its labels, .*2.png; restore"),
        (["1.jpg"], [], "no label: .*labels holds no file that ends in .png, .tif, .tiff; correct labels or label_ext"),
        ([], ["1.png"], "no image: .*images holds no file that ends in .jpg"),
        (["1.jpg"], ["1_gt.png"], "None of the 1 labels .*1_gt.png.*1.jpg.*label_ext"),
        (["1.jpg", "1.png"], ["1.png"], "1.(jpg|png) and .*1.(jpg|png) have the same name .*give image_ext"),
        (["1.jpg"], ["1.png", "1.tif"], "have the same name .*give label_ext"),
    ],
)
def test_what_does_not_pair_is_named(make, images, labels, message):
    with pytest.raises(UsageError, match=message) as error:
        pair_files("my.yaml", *make(images, labels))
    assert "my.yaml" in str(error.value) and "\n" not in str(error.value)


def test_links_are_followed_once(make, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "1.png").touch()
    folder, _ = make(["0.png"], [])
    (folder / "town").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder)
    assert sorted(find_files(folder, (".png",), "image_ext", "my.yaml")) == ["0", "town/1"]


def test_other_files_among_the_images_are_counted(tmp_path, caplog):
    for name in ("images/a.jpg", "images/b.psd", "labels/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert len(pair_files("my.yaml", tmp_path / "images", tmp_path / "labels")) == 1
    assert "1 files do not have the ending of a readable picture (1 of .psd)" in caplog.text


def test_a_mask_for_each_class_is_explained(tmp_path):
    for name in ("images/a.jpg", "labels/task-1-annotation-2-by-1-tag-crack-0.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(
        UsageError, match="1 labels of .*my.yaml are masks of one class each.*errseg data merge-label-studio"
    ):
        pair_files("my.yaml", tmp_path / "images", tmp_path / "labels")
