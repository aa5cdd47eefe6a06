"""SSD's colour augmentation, the padding, and the crops of regions."""

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from torchvision.transforms import RandomResizedCrop as OfTorchvision

from errseg.config import get_cfg
from errseg.data.augmentation import (
    ColorJitterSSD,
    ColorJitterTransform,
    PadToMultiple,
    RandomResizedCrop,
    ResizeToSquare,
    build_augmentations,
)
from errseg.errors import UsageError

IDENTITY = {"brightness": 0.0, "contrast": 1.0, "saturation": 1.0, "hue": 0, "contrast_first": True}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)


def jitter(**changes):
    return ColorJitterTransform(**{**IDENTITY, **changes})


def test_brightness_and_contrast_are_arithmetic(image):
    exact = image.astype(float)
    assert np.array_equal(jitter().apply_image(image), image)
    assert np.abs(jitter(brightness=20).apply_image(image) - np.clip(exact + 20, 0, 255)).max() < 1
    assert np.abs(jitter(contrast=1.4).apply_image(image) - np.clip(exact * 1.4, 0, 255)).max() < 1


def test_hue_turns_the_colours_of_rgb():
    red, green, blue = np.eye(3, dtype=np.uint8)[:, None, None] * 255
    assert np.array_equal(jitter(hue=60).apply_image(red), green)  # 120 degrees
    assert np.array_equal(jitter(hue=-60).apply_image(red), blue)


def test_saturation_scales_the_colour_and_leaves_grey():
    pale = np.uint8([[[200, 150, 150]]])
    out = jitter(saturation=0.5).apply_image(pale).astype(int)
    assert abs(out[0, 0, 0] - 200) <= 1 and abs(out[0, 0, 1] - 175) <= 2
    grey = np.full((2, 2, 3), 77, np.uint8)
    assert np.array_equal(jitter(saturation=1.5, hue=10).apply_image(grey), grey)


def test_contrast_comes_before_or_after_the_colours(image):
    first = jitter(contrast=1.5, saturation=1.4, hue=12)
    last = jitter(contrast=1.5, saturation=1.4, hue=12, contrast_first=False)
    assert not np.array_equal(first.apply_image(image), last.apply_image(image))


def test_draws_stay_in_their_ranges_and_labels_stay(image):
    np.random.seed(0)
    draws = [ColorJitterSSD().get_transform(image) for _ in range(400)]
    label = np.arange(16 * 24).reshape(16, 24)
    assert draws[0].apply_segmentation(label) is label
    ranges = {"brightness": (-32, 32), "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": (-18, 18)}
    for name, (low, high) in ranges.items():
        values = np.array([getattr(draw, name) for draw in draws])
        assert low <= values.min() and values.max() <= high
        assert 0.4 < np.mean(values == IDENTITY[name]) < 0.6
    assert 0.4 < np.mean([draw.contrast_first for draw in draws]) < 0.6


def test_padding_reaches_the_next_multiple(image):
    label = np.ones((16, 24), np.uint8)
    inputs = T.AugInput(image, sem_seg=label)
    T.AugmentationList([PadToMultiple(20, 128, 255)])(inputs)
    assert inputs.image.shape == (20, 40, 3) and inputs.sem_seg.shape == (20, 40)
    assert np.array_equal(inputs.image[:16, :24], image) and (inputs.image[16:] == 128).all()
    assert (inputs.sem_seg[:16, :24] == 1).all() and (inputs.sem_seg[:, 24:] == 255).all()


def test_the_recipe_gives_square_crops(image):
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TRAIN = (20,)
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute"
    cfg.INPUT.CROP.SIZE = [32, 32]
    cfg.INPUT.SIZE_DIVISIBILITY = 32
    inputs = T.AugInput(image, sem_seg=np.zeros((16, 24), np.uint8))
    T.AugmentationList(build_augmentations(cfg, is_train=True))(inputs)
    assert inputs.image.shape == (32, 32, 3) and inputs.image.dtype == np.uint8
    assert (inputs.sem_seg[:20, :30] == 0).all() and (inputs.sem_seg[20:] == 255).all()


def test_an_unknown_flip_is_refused():
    cfg = get_cfg()
    cfg.INPUT.RANDOM_FLIP = "diagonal"
    with pytest.raises(UsageError, match="INPUT.RANDOM_FLIP is 'diagonal'"):
        build_augmentations(cfg, is_train=True)


def rectangles(height, width, count):
    np.random.seed(0)
    return np.array([RandomResizedCrop(64).rectangle(height, width) for _ in range(count)])


def test_random_rectangles_have_the_shares_and_the_ratios_asked_for():
    height, width = 300, 400
    x, y, w, h = rectangles(height, width, 1000).T
    assert x.min() >= 0 and y.min() >= 0 and (x + w).max() <= width and (y + h).max() <= height
    shares, ratios = w * h / (height * width), w / h
    assert shares.min() < 0.1 and shares.max() > 0.9 and shares.min() > 0.079
    assert 0.745 < ratios.min() < 0.77 and 1.3 < ratios.max() < 1.34
    of_torchvision = np.array(
        [OfTorchvision.get_params(torch.empty(3, height, width), (0.08, 1), (3 / 4, 4 / 3)) for _ in range(1000)]
    )
    assert shares.mean() == pytest.approx((of_torchvision[:, 2] * of_torchvision[:, 3]).mean() / 120_000, abs=0.03)
    assert len(np.unique(x)) > 50 and len(np.unique(y)) > 50


@pytest.mark.parametrize(("height", "width"), [(4, 600), (600, 4), (1, 9), (9, 1), (1, 1)])
def test_where_no_rectangle_fits_the_middle_is_taken(height, width):
    expected = OfTorchvision.get_params(torch.empty(3, height, width), (2, 3), (3 / 4, 4 / 3))  # never fits
    crop = RandomResizedCrop(64, scale=(2, 3))
    x, y, w, h = crop.rectangle(height, width)
    assert (y, x, h, w) == tuple(expected)


def test_crops_are_squares_whatever_the_image(image):
    label = np.ones(image.shape[:2], np.uint8)
    for augmentation in (RandomResizedCrop(32), ResizeToSquare(32)):
        inputs = T.AugInput(image, sem_seg=label)
        augmentation(inputs)
        assert inputs.image.shape == (32, 32, 3) and inputs.sem_seg.shape == (32, 32) and inputs.sem_seg.all()
