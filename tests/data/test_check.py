"""Checking what is on disk of a data set."""

import re

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from PIL import Image

from errseg.colors import color_of
from errseg.data import DataChecksum, LabelReader, register_dataset_files, register_sem_seg
from errseg.data.check import check_dataset, duplicate_names
from errseg.data.samples import contact_sheet
from errseg.data.vocabularies import load_vocabulary

from .third_party import NAMES, write_dataset, write_pair


@pytest.fixture
def towns(tmp_path):
    path = str(write_dataset(tmp_path))
    register_dataset_files([path])
    return path


def damage(root, number, what):
    """Spoil pair ``number`` of the made-up data set."""
    stem = f"{('north', 'south')[number % 2]}/{number:03d}"
    if what == "image":
        (root / f"pictures/{stem}.jpg").write_bytes((root / f"pictures/{stem}.jpg").read_bytes()[:300])
    elif what == "label":
        (root / f"masks/{stem}.png").write_text("no image")
    elif what == "size":
        Image.fromarray(np.ones((8, 8), np.uint8)).save(root / f"masks/{stem}.png")
    else:
        Image.fromarray(np.full((48, 64), 9, np.uint8)).save(root / f"masks/{stem}.png")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sound_set(towns, tmp_path, workers):
    report = check_dataset(towns, workers)
    labels = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "masks").rglob("*.png"))]
    counts = sum(np.bincount(label.ravel(), minlength=4) for label in labels)
    assert report.pixels == counts[1:].tolist() and report.ignored == counts[0] == 6 * 4 * 64
    assert report.ignored_share == pytest.approx(4 / 48)
    assert (report.images, report.expected, report.num_classes, report.seen) == (6, None, 3, [0, 1, 2])
    assert (report.bits, report.bad_files, report.problems, report.notes) == ({8: 6}, {}, [], [])
    checksum, read = DataChecksum(), LabelReader(towns)
    for path in sorted((tmp_path / "masks").rglob("*.png"), reverse=True):
        checksum.add(f"{path.stem}.jpg", read(str(path), "", (48, 64)))
    assert report.checksum == checksum.hexdigest()
    assert report.as_json()["seen"] == 3 and report.as_json()["ignored_share"] == report.ignored_share


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("image", "000.jpg cannot be read"),
        ("label", "000.png cannot be read"),
        ("size", "000.jpg has 64 × 48 pixels, its label .* 8 × 8"),
        ("ids", "000.png holds the id 9"),
    ],
)
def test_every_kind_of_bad_file_is_counted_and_named_once(towns, tmp_path, what, message):
    sound = check_dataset(towns, 1).checksum
    for number in (0, 3):
        damage(tmp_path, number, what)
    report = check_dataset(towns, 1)
    assert report.bad_files == {what: 2} and len(report.problems) == 1 and report.images == 6
    assert re.search(message, report.problems[0]) and report.problems[0].endswith("It is the first of 2.")
    assert report.checksum != sound


def test_another_number_of_images_is_a_problem(tmp_path):
    write_pair(tmp_path / "images/a.jpg", tmp_path / "labels/a.png", np.zeros((4, 4), np.uint8))
    for expected, problems in ((1, []), (3, ["There are 1 labels, too few: the whole set has 3; prepare it again."])):
        register_sem_seg("test_check", tmp_path / "images", tmp_path / "labels", ["thing"], num_images=expected)
        assert check_dataset("test_check", 1).problems == problems


def test_a_set_that_is_not_there_is_a_problem(tmp_path):
    register_sem_seg("test_check", tmp_path / "images", tmp_path / "labels", ["thing"], num_images=3)
    report = check_dataset("test_check", 1)
    assert report.images == 0 and len(report.problems) == 1 and "is missing" in report.problems[0]


def test_eight_bit_labels_of_many_classes_are_a_problem(tmp_path):
    names = [f"name {i}" for i in range(300)]
    for bits, ids in ((8, np.uint8([[0, 7]])), (16, np.uint16([[0, 299]]))):
        write_pair(tmp_path / f"images/{bits}.jpg", tmp_path / f"labels/{bits}.png", ids)
    register_sem_seg("test_check", tmp_path / "images", tmp_path / "labels", names, ignore_label=65535)
    report = check_dataset("test_check", 1)
    assert report.bits == {8: 1, 16: 1} and report.seen == [0, 7, 299]
    assert report.problems == [
        "1 labels are 8-bit files, which cannot hold the ids of this set, up to 65535; convert them again, to 16-bit "
        "PNG or TIFF."
    ]


@pytest.mark.parametrize(("ignored", "num_images", "found"), [(255, 1, True), (65535, 1, False), (255, None, False)])
def test_an_ignore_label_of_8_bits_in_16_bit_labels_is_a_problem(tmp_path, ignored, num_images, found):
    """255 is the class "pier" of A-847: without the check, every pixel without a class would count as "pier"."""
    names = load_vocabulary("ade20k_847").classes
    write_pair(tmp_path / "images/a.jpg", tmp_path / "labels/a.png", np.uint16([[3, 700, 255], [4, 5, ignored]]))
    register_sem_seg(
        "test_check", tmp_path / "images", tmp_path / "labels", names, ignore_label=65535, num_images=num_images
    )
    problems = check_dataset("test_check", 1).problems
    assert len(problems) == found
    assert not found or "No pixel is ignored (65535), but 33.3 % are of the class 255" in problems[0]


def test_equal_first_synonyms_are_noted(tmp_path):
    """Ten of A-847, of nine names: a note and no problem, for the paper's rule accepts them."""
    duplicates = duplicate_names(load_vocabulary("ade20k_847").prompts)
    assert sum(len(ids) - 1 for ids in duplicates.values()) == 10
    assert {"bag", "pier", "pot", "screen"} <= duplicates.keys()
    path = str(write_dataset(tmp_path, names=["bag, handbag", "bag, sack", "bag"]))
    register_dataset_files([path])
    report = check_dataset(path, 1)
    assert not report.problems and "2 of the 3 names" in report.notes[0]
    assert "training and evaluation refuse: bag (0, 1, 2)" in report.notes[0]
    path = str(write_dataset(tmp_path, names="ade20k_847", ignore=65535, label_offset=None))
    register_dataset_files([path])
    assert "can never win over it, which the paper's rule accepts" in check_dataset(path, 1).notes[0]


def test_the_background_is_seen_as_one_class(tmp_path):
    path = str(write_dataset(tmp_path, names="voc_21", label_offset=None, ignore=255))
    register_dataset_files([path])
    report = check_dataset(path, 1)
    assert report.num_classes == 21 and len(MetadataCatalog.get(path).prompts) == 59 and report.seen == [0, 1, 2, 3]


def test_contact_sheet(towns, tmp_path):
    damage(tmp_path, 4, "label")
    sheet = contact_sheet(towns, 4)
    assert sheet.dtype == np.uint8 and sheet.ndim == 3
    pixels = set(map(tuple, sheet.reshape(-1, 3).tolist()))
    assert all(color_of(name) in pixels for name in NAMES)  # the swatches of the legends
    assert contact_sheet(towns, 1).shape[0] < sheet.shape[0]
    assert contact_sheet(towns, 100).shape[0] > sheet.shape[0]
