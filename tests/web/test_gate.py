"""What gets through to gradio; the application behind is one that says yes to all."""

import asyncio

import pytest

from errseg.web.gate import HEADERS, QUESTION, Gate
from errseg.web.keeping import LEAST

UPLOAD, JOIN = "/gradio_api/upload", "/gradio_api/queue/join"


@pytest.fixture
def gate(tmp_path):
    return Gate(behind, tmp_path, max_bytes=1000, max_stored=4 * LEAST)


async def behind(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"yes"})


def ask(gate, method, path, length=None, kind="http"):
    """The status of an answer, or the message of another kind."""
    sent = []
    headers = [] if length is None else [(b"content-length", str(length).encode())]

    async def send(message):
        sent.append(message)

    asyncio.run(gate({"type": kind, "method": method, "path": path, "headers": headers}, None, send))
    return sent[0].get("status", sent[0]["type"])


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/theme.css", "/assets/index.js", "/static/img/logo.svg", "/gradio_api/heartbeat/abc"]
    + ["/gradio_api/app_id", "/gradio_api/queue/data"]
    + ["/gradio_api/file=/somewhere/photo.png", r"/gradio_api/file=C:\photo.png"],
)
def test_what_the_page_needs_passes(gate, path):
    assert ask(gate, "GET", path) == ask(gate, "HEAD", path) == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=http://192.0.2.1/"),  # gradio would fetch it
        ("GET", "/gradio_api/file=HTTPS://192.0.2.1/"),
        ("GET", "/gradio_api/proxy=http://192.0.2.1/"),
        ("GET", "/gradio_api/deep_link"),  # gradio would write a file that stays
        ("POST", "/gradio_api/process_recording"),  # gradio would hand what it gets to ffmpeg
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/openapi.json"),
        ("GET", "/monitoring"),
        ("GET", "//config"),
        ("POST", "/"),
        ("DELETE", JOIN),
    ],
)
def test_all_else_is_shut(gate, method, path):
    assert ask(gate, method, path, 10) == 404


def test_no_websockets(gate):
    assert ask(gate, "GET", "/", kind="websocket") == "websocket.close"


def test_requests_are_bounded(gate):
    assert ask(gate, "POST", UPLOAD, 1000 + HEADERS) == 200
    assert ask(gate, "POST", UPLOAD, 1001 + HEADERS) == 413
    assert ask(gate, "POST", JOIN, QUESTION) == 200
    assert ask(gate, "POST", JOIN, QUESTION + 1) == 413
    for path in (UPLOAD, JOIN):
        assert ask(gate, "POST", path) == ask(gate, "POST", path, "-5") == 411


def test_uploads_together_are_bounded(gate, tmp_path):
    for number in range(3):
        assert ask(gate, "POST", UPLOAD, 10) == 200
        (tmp_path / str(number)).write_bytes(b"x")
    assert ask(gate, "POST", UPLOAD, 10) == 200
    (tmp_path / "3").write_bytes(b"x")
    assert ask(gate, "POST", UPLOAD, 10) == 507
    assert ask(gate, "POST", JOIN, 10) == 200  # what is there can be asked about
    (tmp_path / "3").unlink()
    assert ask(gate, "POST", UPLOAD, 10) == 200


def test_uploads_under_way_count(tmp_path):
    """Not yet a byte of the first has come when the second asks."""
    answers = []

    async def behind_slowly(scope, receive, send):
        await gate({**scope, "headers": [(b"content-length", b"10")]}, None, note)

    async def note(message):
        answers.append(message.get("status"))

    gate = Gate(behind_slowly, tmp_path, max_bytes=1000, max_stored=LEAST)
    ask_nothing = {"type": "http", "method": "POST", "path": UPLOAD, "headers": [(b"content-length", b"10")]}
    asyncio.run(gate(ask_nothing, None, note))
    assert answers[0] == 507
