"""The panel of a mask-based system, in headless Chromium: the masks of the pixel at the pointer."""

import base64
import io
import itertools
import signal
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from errseg.api import Proposals
from errseg.web.masks import LEAST
from errseg.web.view import view
from tests.tiny import blobs, tiny_segmenter, write_run
from tests.web.browser import Server, needs_gradio, open_viewer

needs_gradio()

NAMES = ["cat", "grass", "sea", "<img src=x onerror=\"document.title='stolen'\">"]
STEP = 1 / 63  # of a probability in the sheet


@pytest.fixture(scope="module")
def result():
    """The result of a tiny DeOP, with masks of a made-up picture whose regions are known."""
    model = tiny_segmenter("DeOP")
    model.set_vocabulary(NAMES)
    result = model(blobs(60, 80))
    masks = np.zeros((8, 60, 80), np.float16)
    masks[0], masks[1, :, :40], masks[2, :30], masks[3, 40:, 40:] = 0.5, 0.9, 0.7, 1
    masks[4], masks[5:, 10:20, 50:60] = LEAST / 2, 0.2
    classes = np.random.default_rng(0).dirichlet(np.full(5, 0.5), 8).astype(np.float32)
    return replace(result, proposals=Proposals(masks, classes[:, :4], tuple(NAMES), (60, 80)))


@pytest.fixture
def page(browser, result):
    page = open_viewer(browser, view(result))
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    page.close()
    assert wrong == []


def place_of(page, x, y):
    """The place on the screen of a pixel of the picture of 80 x 60."""
    box = page.locator(".ev-stage canvas").first.bounding_box()
    return box["x"] + (x + 0.5) / 80 * box["width"], box["y"] + (y + 0.5) / 60 * box["height"]


def told(page):
    """Index and probability of each mask in the list."""
    rows = [row.split("\n") for row in page.locator(".ev-mask").all_inner_texts()]
    return [(int(name.removeprefix("Mask ")), int(value.removesuffix(" %")) / 100) for name, value, *_ in rows]


def is_list_of(page, result, x, y):
    expected = [each for each in result.proposals.at(x, y) if each.probability >= LEAST]
    found = told(page)
    assert [index for index, _ in found] == [each.id for each in expected] and expected
    for (_, value), each in zip(found, expected, strict=True):
        assert abs(value - each.probability) <= STEP


def are_in_clear_order(masks):
    """Whether the page, which rounds probabilities, cannot take one mask for another."""
    steps = -np.diff([each.probability for each in masks] + [LEAST])
    return (np.abs(steps) > 2 * STEP).all() and masks[0].probability > LEAST


def test_masks_under_the_pointer(page, result):
    assert page.locator(".ev-mask").count() == 0
    assert "Point at the picture" in page.locator(".ev-mask-note").inner_text()
    for x, y in ((10, 10), (70, 50), (55, 15), (60, 5)):
        page.mouse.move(*place_of(page, x, y))
        is_list_of(page, result, x, y)
    assert page.locator(".ev-mask-count").inner_text() == "2 of 8"
    assert page.locator(".ev-tip").is_visible()
    page.locator(".ev-stage canvas").first.focus()
    page.keyboard.press("ArrowDown")
    assert len(told(page)) >= 2


def test_the_names_of_a_mask(page, result):
    page.mouse.move(*place_of(page, 70, 50))
    said = page.locator(".ev-mask .ev-mask-names").first.inner_text()
    for name, share in result.proposals.best_names(3, 4):
        assert (f"{name} {round(100 * share)} %" in said) == (share >= 0.01)
    assert said.endswith(f"no name {round(100 * result.proposals.no_name(3))} %")
    assert page.title() != "stolen" and page.locator(".ev img").count() == 0


def veil_of(page):
    """The opacity of the canvas over the picture, (h, w)."""
    url = page.eval_on_selector(".ev-veil", "canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGBA")).astype(int)[..., 3]


def test_a_pixel_is_kept_and_its_masks_are_looked_at(page, result):
    overlay = page.eval_on_selector(".ev-stage canvas", "canvas => canvas.toDataURL()")
    page.mouse.click(*place_of(page, 70, 50))
    assert "is kept" in page.locator(".ev-mask-note").inner_text()
    page.mouse.move(*place_of(page, 10, 10))
    is_list_of(page, result, 70, 50)  # not of the pointer
    page.locator(".ev-mask").first.hover()
    veil = veil_of(page)
    height, width = veil.shape
    inside = np.zeros(veil.shape, bool)
    inside[int(0.7 * height) :, int(0.55 * width) :] = True
    inside[int(0.78 * height) : int(0.9 * height), int(0.82 * width) : int(0.94 * width)] = (
        False  # the mark of the pixel
    )
    assert veil[inside].max() == 0 and (veil[: int(0.6 * height)] >= 170).all()
    assert (veil == 255).any()  # the outline
    page.mouse.move(*place_of(page, 10, 10))
    assert veil_of(page)[: int(0.6 * height)].max() == 0 < veil_of(page).max()  # only the mark
    assert page.eval_on_selector(".ev-stage canvas", "canvas => canvas.toDataURL()") == overlay
    page.keyboard.press("Escape")
    page.mouse.move(*place_of(page, 10, 11))
    is_list_of(page, result, 10, 11)
    assert veil_of(page).max() == 0
    page.mouse.click(*place_of(page, 70, 50))
    page.mouse.click(*place_of(page, 70, 50))  # the same pixel again
    page.mouse.move(*place_of(page, 10, 10))
    is_list_of(page, result, 10, 10)


def test_the_veil_covers_the_picture(page):
    page.set_viewport_size({"width": 500, "height": 900})
    page.mouse.move(*place_of(page, 10, 10))
    boxes = [page.locator(f".ev-stage canvas >> nth={i}").bounding_box() for i in (0, 1)]
    assert boxes[0] == pytest.approx(boxes[1], abs=0.6)
    sides = page.eval_on_selector_all(".ev *", "all => all.map((each) => each.getBoundingClientRect().right)")
    assert max(sides) <= 500


def test_a_pixel_of_no_mask(browser, result):
    nothing = replace(result.proposals, masks=np.zeros_like(result.proposals.masks))
    page = open_viewer(browser, view(replace(result, proposals=nothing)))
    page.mouse.move(*place_of(page, 10, 10))
    assert page.locator(".ev-mask-note").inner_text() == "No mask holds this pixel."
    assert page.locator(".ev-mask-count").inner_text() == "0 of 8"
    page.close()


def test_a_result_without_masks_has_no_panel(page, result):
    page.mouse.click(*place_of(page, 70, 50))
    page.evaluate("(value) => { props.value = value; changed() }", view(replace(result, proposals=None)))
    page.locator(".ev-masks").wait_for(state="hidden")
    page.mouse.click(*place_of(page, 10, 10))
    page.keyboard.press("Escape")
    assert page.locator(".ev-veil").count() == 0 and page.locator(".ev-tip").is_visible()
    page.evaluate("(value) => { props.value = value; changed() }", view(result))
    page.locator(".ev-masks").wait_for()
    assert page.locator(".ev-mask").count() == 0 and veil_of(page).max() == 0


def test_the_page_of_a_mask_based_system_until_ctrl_c(browser, tmp_path):
    """From the file of a picture to the panel, with the server's own answer; then nothing is left of anything."""
    server = Server(tmp_path / "server", write_run(tmp_path / "run", "DeOP"))
    Image.fromarray(blobs(60, 80)).save(tmp_path / "blobs.png")
    page = browser.new_page()
    try:
        page.goto(server.url)
        page.set_input_files("#picture input[type=file]", tmp_path / "blobs.png")
        page.locator("#names input").click()
        page.keyboard.insert_text("cat, grass, sea, road")
        page.keyboard.press("Enter")
        page.locator(".ev-note", has_text="of 4 names found").wait_for()
        model = tiny_segmenter("DeOP")
        model.set_vocabulary(["cat", "grass", "sea", "road"])
        result = model(blobs(60, 80), proposals=True)
        places = itertools.product(range(5, 80, 5), range(5, 60, 5))
        pixel = next(place for place in places if are_in_clear_order(result.proposals.at(*place)))
        page.mouse.click(*place_of(page, *pixel))
        is_list_of(page, result, *pixel)
        assert not page.locator(".ev-selection").is_visible()  # every name is kept
        kept = server.upload("photo.png", b"content")
        assert kept.read_bytes() == b"content"
    finally:
        page.close()
        status = server.end(signal.SIGINT)
    assert status == 0 and server.has_left_nothing((tmp_path / "blobs.png").read_bytes())
    assert "Traceback" not in server.text() and not server.outside.exists()
