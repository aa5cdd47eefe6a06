"""The page from end to end, in headless Chromium; the model's weights are random, and the Segmenter is the oracle."""

import base64
import io
import json
import signal
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from errseg.api import KeptName
from errseg.colors import colors_of
from errseg.visualization import fit, overlay
from errseg.web.view import SMALLEST_SIDE, view
from tests.web.browser import ROOT, Server, chromium, needs_gradio, open_viewer, wait_for
from tests.web.conftest import NAMES

needs_gradio()
sync_api = pytest.importorskip("playwright.sync_api", reason="browser tests need playwright: pip install -e '.[dev]'")
if chromium() is None:
    pytest.skip("browser tests need Chromium: apt-get install chromium", allow_module_level=True)

MAX_NAMES, MAX_PIXELS = 30, 40_000
WAIT = 20_000  # milliseconds
under_way = set()  # questions of the pages that are open, and the streams of their answers


@pytest.fixture(scope="module")
def server(tmp_path_factory, run_folder):
    limits = "--max-names", str(MAX_NAMES), "--max-pixels", str(MAX_PIXELS)
    server = Server(tmp_path_factory.mktemp("server"), run_folder, *limits)
    yield server
    server.end(signal.SIGTERM)
    assert "Traceback" not in server.text()
    assert not server.outside.exists(), server.outside.read_text()
    assert not list((ROOT / "errseg/web").glob("*.pyi"))  # gradio writes one for a component that is subclassed


@pytest.fixture
def visit(browser, server):
    """``visit()``: a new visitor's page; what it asks of other machines, or complains of, fails the test."""
    contexts, wrong = [], []
    under_way.clear()

    def asked(request):
        if not request.url.startswith((server.url, "data:", "blob:")):
            wrong.append(request.url)

    def open_page(width=1400, height=900, address="", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(WAIT)
        contexts.append(context)
        page = context.new_page()
        page.on("request", asked)
        page.on("request", lambda request: "/queue/" in request.url and under_way.add(request))
        page.on("requestfinished", lambda request: under_way.discard(request))
        page.on("requestfailed", lambda request: under_way.discard(request))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
        page.goto(server.url + address)
        page.locator("#examples button").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def upload(page, path):
    page.set_input_files("#picture input[type=file]", path)


def type_names(page, text):
    """As one paste, whose commas the server sees."""
    page.locator("#names input").click()
    page.keyboard.insert_text(text)
    page.keyboard.press("Enter")


def wait_for_result(page, names):
    """Until the result for so many names is in view."""
    page.locator(".ev[data-result=shown]").wait_for()
    page.locator(".ev-note", has_text=f"of {names} name").wait_for()


def ask(page, names):
    """Type names, and wait for their result and for the tags."""
    type_names(page, ", ".join(names))
    wait_for_result(page, len(names))
    wait_for_tags(page, names)


def wait_for_tags(page, names):
    sync_api.expect(page.locator("#names .token")).to_have_text(names, timeout=WAIT)


def wait_for_rest(page):
    """Until the page asks nothing and awaits nothing, ten looks in a row."""
    looks = 0
    while looks < 10:
        page.evaluate("new Promise((done) => setTimeout(done, 50))")  # its turn may be a long time in coming
        looks = 0 if under_way else looks + 1


def wait_for_sentence(page, text):
    page.locator(".ev-note.ev-error", has_text=text).wait_for()


def canvas_of(page):
    url = page.eval_on_selector("#viewer canvas", "canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB")).astype(int)


def slide(page, value):
    page.locator(".ev-opacity input").fill(str(value))


def shown(array, label=False):
    return fit(array, (SMALLEST_SIDE, SMALLEST_SIDE), label=label)


def inner_pixels(labels):
    """Where a pixel's neighbours have its label too, so that no line is."""
    inner = np.zeros(labels.shape, bool)
    middle = labels[1:-1, 1:-1]
    inner[1:-1, 1:-1] = (middle == labels[:-2, 1:-1]) & (middle == labels[1:-1, :-2])
    inner[1:-1, 1:-1] &= (middle == labels[2:, 1:-1]) & (middle == labels[1:-1, 2:])
    return inner


@pytest.fixture(scope="module")
def expected(segmenter, picture):
    """What the Segmenter says of the picture and NAMES."""
    segmenter.set_vocabulary(NAMES)
    result = segmenter(picture)
    assert len(result.classes) > 1 and 1 < len(result.kept) < len(NAMES)
    return result


@pytest.fixture
def page(visit, picture):
    """A visitor's page with the picture, NAMES and their result."""
    page = visit()
    upload(page, picture)
    ask(page, NAMES)
    return page


def assert_overlay(page, result):
    """The canvas is the overlay of a result, within what JPEG does to the picture."""
    labels = shown(result.labels, label=True)
    drawn = canvas_of(page)
    difference = np.abs(drawn - overlay(shown(result.image), labels, result.names).astype(int)).max(axis=2)
    assert np.quantile(difference, 0.99) <= 6 and difference.mean() < 2


def test_overlay_is_of_the_models_result(page, expected):
    assert_overlay(page, expected)
    wait_for_tags(page, NAMES)


def test_names_one_by_one(visit, picture, segmenter):
    """A comma ends a name, Enter too, and a click takes one away; the overlay follows each."""
    page = visit()
    upload(page, picture)
    page.locator(".ev-note", has_text="Type the names to look for in").wait_for()
    page.locator("#names input").click()
    page.keyboard.type('cat,"sky, heaven",')
    wait_for_result(page, 2)
    type_names(page, "road")
    wait_for_result(page, 3)
    wait_for_tags(page, ["cat", '"sky, heaven"', "road"])
    page.locator("#names .token", has_text="cat").locator(".token-remove").click()
    wait_for_result(page, 2)
    segmenter.set_vocabulary(["sky, heaven", "road"])
    assert_overlay(page, segmenter(picture))
    page.get_by_label("Remove Image").click()
    page.locator(".ev[data-result=none]").wait_for()


def test_name_and_confidence_under_the_pointer(page, expected):
    labels, scores = shown(expected.labels, label=True), shown(expected.scores, label=True)
    canvas = page.locator("#viewer canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for each in expected.classes[:2]:
        row, column = np.argwhere(inner_pixels(labels) & (labels == each.id))[5]
        x, y = ((column + 0.5) / labels.shape[1] * box["width"], (row + 0.5) / labels.shape[0] * box["height"])
        page.mouse.move(box["x"] + x, box["y"] + y)
        tip = page.locator(".ev-tip")
        tip.locator("span", has_text=each.name).wait_for()
        told = float(tip.locator("b").inner_text().removesuffix(" %"))
        assert abs(told - 100 * scores[row, column]) <= 0.8
    page.mouse.move(0, 0)
    tip.wait_for(state="hidden")
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    tip.wait_for(state="visible")


@pytest.mark.parametrize("size", [(60, 150), (6, 600), (600, 6)], ids=["upright", "thin", "flat"])
def test_pointer_on_pictures_of_any_shape(visit, segmenter, picture, tmp_path, size):
    """The box that the pointer is over is the picture's, however much higher than the window it would be."""
    page = visit(height=700)
    Image.open(picture).resize(size).save(tmp_path / "shape.png")
    upload(page, tmp_path / "shape.png")
    ask(page, NAMES)
    segmenter.set_vocabulary(NAMES)
    result = segmenter(tmp_path / "shape.png")
    canvas, tip = page.locator("#viewer canvas"), page.locator(".ev-tip")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert min(box["width"], box["height"]) >= 20 and box["height"] <= 0.8 * 700
    assert size != (60, 150) or abs(box["width"] / box["height"] - 0.4) < 0.01
    ids = fit(result.labels, (SMALLEST_SIDE, SMALLEST_SIDE), label=True)
    for along, down in ((0.1, 0.1), (0.5, 0.5), (0.9, 0.2), (0.9, 0.9), (0.2, 0.8)):
        page.mouse.move(box["x"] + along * box["width"], box["y"] + down * box["height"])
        row, column = int(down * ids.shape[0]), int(along * ids.shape[1])
        near = ids[max(row - 6, 0) : row + 7, max(column - 6, 0) : column + 7]
        tip.wait_for()
        assert tip.locator("span").inner_text() in {NAMES[i] for i in np.unique(near)}


def test_opacity(page, expected):
    labels = shown(expected.labels, label=True)
    inner = inner_pixels(labels)
    slide(page, 100)
    colors = np.array(colors_of(expected.names))
    np.testing.assert_array_equal(canvas_of(page)[inner], colors[labels][inner])
    slide(page, 0)
    assert np.abs(canvas_of(page) - shown(expected.image)).mean() < 2
    assert page.locator(".ev-opacity output").inner_text() == "0 %"


def test_classes_are_switched(page, expected):
    labels = shown(expected.labels, label=True)
    slide(page, 100)
    first, second = expected.classes[:2]
    off, on = (inner_pixels(labels) & (labels == each.id) for each in (first, second))
    page.locator(".ev-classes label", has_text=first.name).locator("input").uncheck()
    drawn = canvas_of(page)
    assert np.abs(drawn - shown(expected.image))[off].mean() < 2
    assert (drawn[on] == colors_of(expected.names)[second.id]).all()
    page.get_by_role("button", name="All").click()
    assert (canvas_of(page)[off] == colors_of(expected.names)[first.id]).all()
    page.get_by_role("button", name="None").click()
    assert np.abs(canvas_of(page) - shown(expected.image)).mean() < 2
    assert page.locator(".ev-classes input:checked").count() == 0


def test_side_panel(page, expected):
    rows = page.locator(".ev-kept li")
    told = [row.splitlines() for row in rows.all_inner_texts()]
    assert told == [[each.name, f"{each.score:.3f}"] for each in expected.kept]
    assert page.locator(".ev-count").inner_text() == f"{len(expected.kept)} of {len(NAMES)}"
    told = [row.splitlines() for row in page.locator(".ev-classes li").all_inner_texts()]
    assert [name for name, _, _ in told] == [each.name for each in expected.classes]
    for (_, share, score), each in zip(told, expected.classes, strict=True):
        assert share == f"{100 * each.share:.1f} %"
        assert abs(float(score.removesuffix(" %")) - 100 * each.score) <= 0.51


@pytest.mark.parametrize(("kept", "told"), [(NAMES[:2], NAMES[:2]), (NAMES, [])])
def test_side_panel_of_a_system_without_a_ranking(kept, told, browser, expected):
    """Names without points; no list where every name is kept."""
    page = open_viewer(browser, view(replace(expected, kept=[KeptName(name, None) for name in kept])))
    assert page.locator(".ev-kept li:visible").all_inner_texts() == told
    assert page.locator(".ev-bar, .ev-ranked:visible").count() == 0
    page.close()


def download(page, name):
    with page.expect_download() as pending:
        page.get_by_role("button", name=name).click()
    return pending.value.suggested_filename, pending.value.path().read_bytes()


def about(content):
    """What compares equal to content whose numbers are nearly those: the server sums with other threads than we."""
    return json.loads(json.dumps(content), parse_float=lambda text: pytest.approx(float(text), abs=1e-4))


def test_downloads(page, expected, picture):
    name, content = download(page, "Mask")
    assert name == "blobs_labels.png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))), expected.labels)
    name, content = download(page, "JSON")
    assert name == "blobs.json"
    told = {**expected.to_dict(), "image": "blobs", "annotations": expected.to_coco()}
    assert json.loads(content) == about(told)
    name, content = download(page, "Overlay")
    assert name == "blobs_overlay.png"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), canvas_of(page))


def test_what_is_refused_is_a_sentence_and_the_page_goes_on(visit, picture, tmp_path):
    page = visit()
    type_names(page, "cat, grass")
    bad, large = tmp_path / "bad.png", tmp_path / "large.png"
    bad.write_bytes(b"\x89PNG, it says")
    Image.new("RGB", (250, 170)).save(large)
    upload(page, bad)
    wait_for_sentence(page, "This file is no picture that can be read")
    assert page.locator("#viewer canvas").is_hidden()
    page.get_by_label("Remove Image").click()
    upload(page, large)
    wait_for_sentence(page, "This picture has 250 x 170 pixels, and this page accepts 0.04 million; make it smaller.")
    page.get_by_label("Remove Image").click()
    upload(page, picture)
    wait_for_result(page, 2)
    type_names(page, ", ".join(f"name {i}" for i in range(MAX_NAMES)))
    wait_for_sentence(page, f"There are {MAX_NAMES + 2} names, and this page accepts {MAX_NAMES}; leave some out.")
    page.locator("#names .token").last.locator(".token-remove").click()
    wait_for_result(page, 2)
    type_names(page, "very " * 80)
    wait_for_sentence(page, "shorten it")


def test_a_name_is_never_markup(visit, picture):
    page = visit()
    upload(page, picture)
    stealing = "document.title='stolen'"
    names = [f'<img src=x onerror="{stealing}">', f"<script>{stealing}</script>", "{{7*7}}${1}"]
    for name in names:
        type_names(page, name)
    wait_for_result(page, len(names))
    slide(page, 50)
    canvas = page.locator("#viewer canvas")
    for x in range(20, 400, 60):
        canvas.hover(position={"x": x, "y": 100})
    told = {row.splitlines()[0] for row in page.locator(".ev-kept li").all_inner_texts()}
    assert told == set(names)
    assert page.title() == "errseg"
    assert page.locator("#viewer img, #viewer script, #names img, #names script").count() == 0


def test_many_names_leave_the_result_in_reach(visit, picture):
    page = visit(390, 844)
    upload(page, picture)
    type_names(page, ", ".join(f"name number {i}" for i in range(MAX_NAMES)))
    wait_for_result(page, MAX_NAMES)
    assert page.locator("#viewer canvas").bounding_box()["y"] < 1000


def test_the_last_change_wins(visit, picture):
    """Names come and go faster than the answers."""
    page = visit()
    upload(page, picture)
    page.locator("#names input").click()
    for i in range(8):
        page.keyboard.insert_text(f"name {i}")
        page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Backspace")
    wait_for_rest(page)  # five names may be in view on the way up
    wait_for_result(page, 5)
    assert page.locator("#names .token").count() == 5
    assert page.locator(".ev-count").inner_text().endswith(" of 5")


def test_a_request_that_arrives_late_is_not_shown(visit, picture):
    page, held = visit(), []
    upload(page, picture)
    type_names(page, "cat, sea")
    wait_for_result(page, 2)
    page.route("**/queue/join*", lambda route: route.continue_() if held else held.append(route))
    page.locator("#segment").click()
    wait_for(lambda: page.wait_for_timeout(20) or held, 20)
    type_names(page, "tree")
    wait_for_result(page, 3)
    held[0].continue_()
    wait_for_rest(page)
    assert page.locator("#names .token").count() == 3
    assert page.locator(".ev-count").inner_text().endswith(" of 3")


@pytest.mark.parametrize("route", ("join", "data"))  # its request, or the answer, takes long
def test_what_is_typed_meanwhile_stays(visit, picture, route):
    """The answer to the first tag splits it in two."""
    page, held = visit(), []
    upload(page, picture)
    page.locator(".ev-note", has_text="Type the names to look for in").wait_for()
    page.route(f"**/queue/{route}*", lambda route: route.continue_() if held else held.append(route))
    type_names(page, "cat, sea")
    wait_for(lambda: page.wait_for_timeout(20) or held, 20)
    type_names(page, "tree")
    page.keyboard.insert_text("wa")
    held[0].continue_()
    wait_for_result(page, 3)
    wait_for_rest(page)
    page.keyboard.insert_text("ll")
    page.keyboard.press("Enter")
    wait_for_result(page, 4)
    wait_for_tags(page, ["cat", "sea", "tree", "wall"])


def test_an_answer_of_another_picture_is_never_shown(visit, picture, tmp_path):
    """Neither one that is in view when the picture changes, nor one that comes later."""
    page, held = visit(), []
    other = tmp_path / "other.png"
    Image.open(picture).resize((60, 90)).save(other)
    upload(page, picture)
    ask(page, ["cat", "sea"])
    wait_for_rest(page)
    page.route("**/queue/data*", lambda route: route.continue_() if held else held.append(route))
    type_names(page, "tree")
    wait_for(lambda: page.wait_for_timeout(20) or held, 20)
    assert page.locator("#viewer canvas").is_visible()
    page.get_by_label("Remove Image").click()
    page.locator("#viewer canvas").wait_for(state="hidden")
    upload(page, other)
    page.locator("#picture img").wait_for()
    page.evaluate(
        """() => {
            window.notes = [];
            const write = () => notes.push(document.querySelector(".ev-note").textContent);
            new MutationObserver(write).observe(document.querySelector(".ev"), {
                subtree: true, childList: true, attributes: true, characterData: true,
            });
        }"""
    )
    held[0].continue_()
    wait_for_rest(page)
    wait_for_result(page, 3)
    notes = page.evaluate("notes")
    assert "60 × 90" in notes[-1] and not any("96 × 64" in note for note in notes)


def test_a_request_that_is_not_taken_is_a_sentence(visit, picture):
    """And what was in view before it comes back when it is asked for."""
    page = visit()
    upload(page, picture)
    ask(page, ["cat", "sea"])
    wait_for_rest(page)
    refusal = {"status": 503, "json": {"detail": "Queue is full."}}
    page.route("**/queue/join*", lambda route: route.fulfill(**refusal), times=1)
    type_names(page, "tree")
    wait_for_sentence(page, "The server did not accept this: click Segment")
    assert page.locator("#viewer canvas").is_hidden()
    page.locator("#segment").click()
    wait_for_result(page, 3)
    page.route("**/queue/join*", lambda route: route.fulfill(**refusal), times=1)
    type_names(page, "wall")
    wait_for_sentence(page, "The server did not accept this: click Segment")
    page.locator("#names .token").last.locator(".token-remove").click()
    wait_for_result(page, 3)


def test_a_page_finds_its_server_again(visit):
    page = visit()
    page.evaluate("window.isOld = true")
    page.route("**/gradio_api/**", lambda route: route.abort())
    type_names(page, "cat")
    page.get_by_text("Connection to the server was lost").wait_for()
    page.unroute("**/gradio_api/**")
    page.wait_for_function("!window.isOld && document.querySelector('#examples button')")
    page.get_by_role("button", name="Example 1").click()
    page.locator(".ev[data-result=shown]").wait_for()


def test_two_visitors_at_once(visit, picture, segmenter):
    visits = {"cat, grass, sea": visit(), "tree, wall": visit()}
    for page in visits.values():
        upload(page, picture)
        page.locator(".ev-note", has_text="Type the names to look for in").wait_for()
    for text, page in visits.items():  # neither waits for the other's result
        type_names(page, text)
    for text, page in visits.items():
        names = text.split(", ")
        wait_for_result(page, len(names))
        segmenter.set_vocabulary(names)
        result = segmenter(picture)
        assert_overlay(page, result)
        told = [row.splitlines()[0] for row in page.locator(".ev-kept li").all_inner_texts()]
        assert told == [each.name for each in result.kept]


def test_examples_and_vocabularies(visit):
    page = visit()
    page.get_by_role("button", name="Example 2").click()
    page.locator(".ev[data-result=shown]").wait_for()
    names = page.locator("#names .token").count()
    assert names >= 6
    wait_for_result(page, names)
    page.locator("#vocabulary input").click()
    page.get_by_role("option", name="voc_20").click()
    wait_for_result(page, names + 20)
    assert page.get_by_role("option", name="ade20k_150").count() == 0  # beyond --max-names


def test_a_picture_is_pasted(visit, server, picture, expected):
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    type_names(page, ", ".join(NAMES))
    page.evaluate(
        """async (content) => {
            const blob = await (await fetch(`data:image/png;base64,${content}`)).blob();
            await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(picture.read_bytes()).decode(),
    )
    page.get_by_label("Paste from clipboard").click()
    wait_for_result(page, len(NAMES))
    assert_overlay(page, expected)


@pytest.mark.parametrize("address", ["", "?__theme=dark"], ids=["light", "dark"])
def test_narrow_window(visit, picture, address, expected):
    """Nothing sticks out, and a tap tells the name."""
    page = visit(390, 844, address, has_touch=True)
    upload(page, picture)
    ask(page, NAMES)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sides = page.eval_on_selector_all(".ev *", "all => all.map((each) => each.getBoundingClientRect().right)")
    assert max(sides) <= 390
    page.locator("#viewer canvas").tap(position={"x": 60, "y": 60})
    assert page.locator(".ev-tip span").inner_text() in NAMES
    assert contrast(page, ".ev-help") > 4.5
    assert contrast(page, ".ev-name") > 7


def contrast(page, selector):
    """Of a text and the page behind it, as the web's accessibility guidelines count it."""
    colors = page.evaluate(
        """(selector) => {
            const sheet = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
            const read = (color) => {
                sheet.clearRect(0, 0, 1, 1);
                sheet.fillStyle = color;
                sheet.fillRect(0, 0, 1, 1);
                return [...sheet.getImageData(0, 0, 1, 1).data];
            };
            let behind = document.querySelector(selector);
            const text = read(getComputedStyle(behind).color);
            while (!read(getComputedStyle(behind).backgroundColor)[3]) behind = behind.parentElement;
            return [text, read(getComputedStyle(behind).backgroundColor)];
        }""",
        selector,
    )
    light = []
    for *rgb, alpha in colors:
        assert alpha == 255
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(rgb) / 255]
        light.append(np.dot([0.2126, 0.7152, 0.0722], linear))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_the_machines_files_are_not_served(server, run_folder):
    assert server.get("") == 200
    for path in (run_folder / "config.yaml", "/etc/hostname", server.here, server.log):
        assert server.get(f"gradio_api/file={path}") in (403, 404)
    assert server.get("gradio_api/file=http://192.0.2.1/photo.png") == 404  # nor are those of others
    stored = server.upload("../../sent.png", b"content")
    assert stored.is_relative_to(next(server.temporary.glob("errseg_web_*")))
    assert server.get(f"gradio_api/file={stored}") == 200


def test_refusals_are_sentences(server, picture):
    """The fixture looks for tracebacks in the log."""
    config, _ = server.ask("config")
    event = next(each["id"] for each in config["dependencies"] if len(each["inputs"]) == 5)
    question = {"data": [{"path": str(picture)}, ["cat"], "", None, 1], "fn_index": event, "session_hash": "abc"}
    changes = [{}, {"fn_index": 99}, {"fn_index": 0}, {"trigger_id": "x"}, {"session_hash": None}, {"data": 1}]
    for answer in (
        *[server.ask("gradio_api/queue/join", {**question, **change}) for change in changes],
        server.ask("gradio_api/upload", {}),
        server.ask("gradio_api/queue/data"),
        server.ask("nothing"),
        server.ask("config", headers={"Host": "evil.example"}),
        server.ask("config", headers={"Origin": "http://evil.example"}),
    ):
        assert list(answer[0]) == ["error"] and answer[1] in (400, 403, 404, 422)
    assert server.ask("gradio_api/queue/join", {**question, "data": []})[1] == 200
    assert b"reload the page" in server.read("gradio_api/queue/data?session_hash=abc")
    assert b"session_not_found" in server.read("gradio_api/queue/data?session_hash=none")
    evil = {name: "evil.example" for name in ("X-Forwarded-Host", "X-Forwarded-Server", "Forwarded")}
    for path in ("", "config", "manifest.json", "nothing"):
        assert b"evil" not in server.read(path, headers=evil)
    assert server.ask("healthz") == ({"status": "ok"}, 200)


def test_nothing_survives(tmp_path, run_folder, picture):
    """An upload is deleted after its time, and at the end there is nothing left; test_masks_panel.py tests Ctrl+C."""
    server = Server(tmp_path, run_folder, "--keep-seconds", "1")
    stored = server.upload("photo.png", picture.read_bytes())
    server.break_off(bytes(1 << 20))
    wait_for(lambda: not stored.exists() and not list(server.temporary.glob("errseg_web_*/tmp*")), 30)
    assert list(server.temporary.rglob("scene_*.png"))  # the examples stay
    assert server.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert server.has_left_nothing(picture.read_bytes())
    assert not server.outside.exists(), server.outside.read_text()
