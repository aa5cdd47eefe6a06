"""Crops of regions: the box of the mask, the random crop, the flip, and the files that cannot be used."""

import numpy as np
import pytest
import torch
from PIL import Image

from errseg.config import get_cfg
from errseg.data import register_sem_seg
from errseg.data.region_mapper import RegionMapper
from errseg.errors import UsageError

NAME = "test_region_mapper"


@pytest.fixture
def cfg(tmp_path):
    """A label of 40 x 60 pixels: class 1 has the rows 8 to 23 and the columns 10 to 49, with a hole of class 0."""
    label = np.zeros((40, 60), np.uint8)
    label[8:24, 10:50] = 1
    label[12:16, 20:30] = 0
    rows, cols = np.mgrid[:40, :60]
    image = np.stack([100 * label, 4 * rows, 4 * cols], -1).astype(np.uint8)
    for folder, array in (("images", image), ("labels", label)):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / "a.png")
    register_sem_seg(NAME, tmp_path / "images", tmp_path / "labels", ["ground", "thing", "other"], image_ext="png")
    cfg = get_cfg()
    cfg.INPUT.RESOLUTION_TRAIN, cfg.INPUT.RESOLUTION_TEST = 64, 80
    return cfg


@pytest.fixture
def record(tmp_path):
    files = {"file_name": str(tmp_path / "images/a.png"), "sem_seg_file_name": str(tmp_path / "labels/a.png")}
    return {**files, "class_id": 1}


def test_at_test_the_box_of_the_region_fills_the_crop(cfg, record):
    given = dict(record)
    result = RegionMapper(cfg, NAME, is_train=False)(record)
    assert record == given and {**result, **record} == result
    assert result["image"].shape == (3, 80, 80) and result["image"].dtype == torch.uint8
    assert result["mask"].shape == (80, 80) and result["mask"].dtype == torch.bool
    assert result["mask"][[0, -1]].all() and result["mask"][:, [0, -1]].all()
    assert result["mask"].float().mean() == pytest.approx(1 - 40 / 640)
    assert result["image"][1, 0, 0] == 32 and result["image"][2, 0, 0] == 40  # row 8, column 10
    assert result["image"][1, -1, -1] == 92 and result["image"][2, -1, -1] == 196  # row 23, column 49


def test_a_random_crop_lies_in_the_box_and_moves_image_and_mask_alike(cfg, record):
    mapper, seen, flips = RegionMapper(cfg, NAME), set(), set()
    np.random.seed(0)
    for _ in range(20):
        result = mapper(record)
        image, mask = result["image"].int(), result["mask"]
        assert image.shape == (3, 64, 64) and mask.any()
        assert ((image[0] > 50) == mask).float().mean() > 0.9  # red is the class, smoothed at its edges
        assert image[1].min() >= 32 and image[1].max() <= 92 and image[2].min() >= 40 and image[2].max() <= 196
        flips.add(bool(image[2, 0, 0] > image[2, 0, -1]))
        seen.add(tuple(image[:, 0, 0].tolist()))
    assert flips == {False, True} and len(seen) > 10
    cfg.INPUT.RANDOM_FLIP = "none"
    mapper = RegionMapper(cfg, NAME)
    assert all(image[2, 0, 0] < image[2, 0, -1] for image in (mapper(record)["image"] for _ in range(10)))


def test_the_crop_depends_on_numpys_generator_alone(cfg, record):
    mapper = RegionMapper(cfg, NAME)
    crops = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        crops.append(mapper(record)["image"])
    assert torch.equal(crops[0], crops[1]) and not torch.equal(crops[0], crops[2])


def test_a_crop_without_the_class_is_none(cfg, record, tmp_path):
    label = np.zeros((40, 60), np.uint8)
    label[[0, -1], [0, -1]] = 2  # the box is the whole image
    Image.fromarray(label).save(tmp_path / "labels/a.png")
    mapper = RegionMapper(cfg, NAME)
    np.random.seed(0)
    results = [mapper({**record, "class_id": 2}) for _ in range(20)]
    assert None in results and all(each is None or each["mask"].any() for each in results)


@pytest.mark.parametrize("pixels", ([(5, 7)], [(5, 7), (5, 59)], [(0, 3), (39, 3)]))
def test_the_smallest_regions_have_crops(cfg, record, tmp_path, pixels):
    label = np.zeros((40, 60), np.uint8)
    for pixel in pixels:
        label[pixel] = 2
    Image.fromarray(label).save(tmp_path / "labels/a.png")
    whole = RegionMapper(cfg, NAME, is_train=False)({**record, "class_id": 2})
    assert whole["image"].shape == (3, 80, 80) and whole["mask"].any()
    drawn = RegionMapper(cfg, NAME)({**record, "class_id": 2})
    if len(pixels) == 1:
        assert drawn["image"].shape == (3, 64, 64) and drawn["mask"].all()
    else:
        assert drawn is None  # crops of the middle alone have the right shape, and do not reach the ends


def test_files_that_cannot_be_used_are_one_sentence(cfg, record, tmp_path):
    with pytest.raises(UsageError, match="labels/a.png holds no pixel of the class 2, .* scanned anew"):
        RegionMapper(cfg, NAME)({**record, "class_id": 2})
    Image.fromarray(np.zeros((30, 60), np.uint8)).save(tmp_path / "labels/a.png")
    with pytest.raises(UsageError, match="60 × 40 pixels, its label .* 60 × 30"):
        RegionMapper(cfg, NAME)(record)
    cfg.INPUT.FORMAT = "BGR"
    with pytest.raises(UsageError, match="INPUT.FORMAT is 'BGR'"):
        RegionMapper(cfg, NAME)
