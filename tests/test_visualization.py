"""Colours of names, overlays and legends."""

import numpy as np
import pytest

from errseg.colors import color_of, colors_of
from errseg.data.vocabularies import load_vocabulary
from errseg.visualization import IGNORED_COLOR, draw_text, fit, join, legend, overlay, panel

NAMES = ["sky, heaven", "grass", "red car"]
WHITE = (255, 255, 255)


@pytest.fixture
def scene():
    """A grey image, and a label of two classes beside each other over an ignored strip."""
    label = np.full((60, 80), 0)
    label[:, 40:], label[50:] = 2, 255
    return np.full((60, 80, 3), 100, np.uint8), label


def test_a_colour_belongs_to_a_name_for_good():
    assert color_of("grass") == color_of(" Grass, lawn") != color_of("grass lawn")
    assert [color_of(name) for name in NAMES] == [(253, 188, 198), color_of("grass"), color_of("red car")]


def test_colours_differ_and_are_no_greys():
    colors = np.array([color_of(name) for name in load_vocabulary("ade20k_150").classes])
    assert len(np.unique(colors, axis=0)) > 140
    assert np.ptp(colors, axis=1).min() > 30
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2)[np.triu_indices(150, 1)]
    assert (distances < 20).mean() < 0.01


def test_the_colours_of_a_vocabulary_are_apart():
    names = ("grass", "sand", *(f"name {i}" for i in range(10)))
    assert np.linalg.norm(np.subtract(color_of("grass"), color_of("sand"))) < 20  # their own are not
    colors = np.array(colors_of(names))
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=2)[np.triu_indices(len(names), 1)]
    assert distances.min() > 35
    assert tuple(colors[0]) == color_of("grass")  # the first keeps its own
    many = load_vocabulary("ade20k_847").classes
    assert colors_of(many)[:40] == colors_of(many[:40]) and colors_of(many)[-1] == color_of(many[-1])


def test_overlay(scene):
    image, label = scene
    before = label.copy()
    flat = overlay(image, label, NAMES, ignore=255, alpha=1.0)
    assert np.array_equal(label, before) and flat.shape == image.shape and flat.dtype == np.uint8
    assert tuple(flat[10, 10]) == color_of("sky") and tuple(flat[10, 70]) == color_of("red car")
    assert tuple(flat[10, 40]) == WHITE and tuple(flat[50, 10]) == WHITE  # lines where the classes meet
    assert tuple(flat[55, 10]) == (50, 50, 50)
    mixed = overlay(image, label, NAMES, ignore=255)
    assert np.abs(mixed[10, 10] - (0.6 * np.array(color_of("sky")) + 0.4 * 100)).max() <= 0.5
    assert (overlay(image, label, NAMES, ignore=255, alpha=0.0)[10, 10] == 100).all()


def test_an_ignore_label_that_is_an_index_and_ids_of_no_name(scene):
    image, label = scene
    shown = overlay(image, label, NAMES, ignore=2, alpha=1.0)
    assert tuple(shown[10, 70]) == tuple(shown[55, 10]) == (50, 50, 50)
    assert tuple(overlay(image, np.where(label == 255, -1, label), NAMES, alpha=1.0)[55, 10]) == (50, 50, 50)


def colors_in(picture):
    return set(map(tuple, picture.reshape(-1, 3).tolist()))


def test_legend_shows_what_is_there(scene):
    picture = legend(scene[1], NAMES, ignore=255, size=(100, 200))
    assert picture.shape == (100, 200, 3)
    assert {color_of("sky"), color_of("red car"), IGNORED_COLOR} <= colors_in(picture)
    assert color_of("grass") not in colors_in(picture)


def test_legend_cuts_what_does_not_fit():
    names = [f"name {i}" for i in range(50)]
    label = np.repeat(np.arange(50), 50 - np.arange(50))[None]
    shown = colors_in(legend(label, names, size=(100, 200)))
    assert [name for name, color in zip(names, colors_of(tuple(names)), strict=True) if color in shown] == names[:3]


def test_panel_puts_numbers_on_the_classes(scene):
    image, label = scene
    picture = panel(image, label, NAMES, 255, size=(240, 320), legend_width=200)
    assert picture.shape == (240, 526, 3)
    plain = overlay(fit(image, (240, 320)), fit(label, (240, 320), label=True), NAMES, 255)
    changed = (picture[:, :320] != plain).any(axis=2)
    assert changed[:200, :160].any() and changed[:200, 160:].any() and not changed[200:].any()
    assert changed.mean() < 0.02


def test_fit_keeps_proportions_and_ids():
    assert fit(np.zeros((100, 50, 3), np.uint8), (40, 40)).shape == (40, 20, 3)
    label = np.kron([[3, 700], [700, 3]], np.ones((10, 10), int))
    assert np.array_equal(fit(label, (4, 4), label=True), np.kron([[3, 700], [700, 3]], np.ones((2, 2), int)))
    assert np.array_equal(fit(label, (20, 20), label=True), label)
    assert fit(label[:1], (30, 5), label=True).shape == (1, 5)


def test_join_and_text():
    black, grey = np.zeros((4, 6, 3), np.uint8), np.full((2, 3, 3), 9, np.uint8)
    beside, below = join([black, grey], gap=1), join([black, grey], vertical=True, gap=1)
    assert beside.shape == (4, 10, 3) and below.shape == (7, 6, 3)
    assert (beside[:2, 7:] == 9).all() and (beside[2:, 7:] == 255).all() and (beside[:, 6] == 255).all()
    text = draw_text("a long text that does not fit in here", 60)
    assert text.shape == (20, 60, 3) and text.min() < 100 and (text[:, -2:] == 255).all()
