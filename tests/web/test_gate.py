"""What gets through to gradio; the application behind is one that says yes to all."""

import asyncio
import json

import pytest

from errseg.web.auth import Auth
from errseg.web.gate import Gate
from errseg.web.hosts import Hosts
from errseg.web.questions import QUESTION
from errseg.web.uploads import HEADERS, Uploads

pytest.importorskip("starlette", reason="the web page needs gradio, which brings it: pip install -e '.[web]'")

UPLOAD, JOIN, CANCEL = "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/cancel"
HOST = (b"host", b"127.0.0.1:7860")
MAX_BYTES = 1000


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/scene.png").write_bytes(b"x")
    return tmp_path


@pytest.fixture
def gate(folder):
    return make_gate(folder)


def make_gate(folder, app=None, **options):
    return Gate(app or behind, Uploads(folder, MAX_BYTES, 1 << 20), Hosts("127.0.0.1"), events={1, 2}, **options)


async def behind(scope, receive, send):
    if scope["method"] == "POST":
        body = json.loads((await receive())["body"])
        assert dict(scope["headers"])[b"content-length"] == str(len(json.dumps(body))).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"yes"})


def ask(gate, method, path, body=b"", length=None, headers=(), kind="http"):
    """Status, body and headers of an answer, or the type of another message."""
    sent, pieces = [], [{"type": "http.request", "body": body}]
    if method == "POST" and length != "missing":
        headers = [*headers, (b"content-length", str(len(body) if length is None else length).encode())]
    if not any(name == b"host" for name, _ in headers):
        headers = [HOST, *headers]

    async def send(message):
        sent.append(message)

    async def receive():
        return pieces.pop() if pieces else {"type": "http.disconnect"}

    scope = {"type": kind, "method": method, "path": path, "headers": headers}
    asyncio.run(gate({**scope, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860)}, receive, send))
    if "status" not in sent[0]:
        return sent[0]["type"]
    return sent[0]["status"], b"".join(each["body"] for each in sent[1:]), dict(sent[0]["headers"])


def question(path=None, **changes):
    data = [{"path": str(path), "meta": {"_type": "gradio.FileData"}} if path else None, ["cat"], "", None, 1]
    return json.dumps({"data": data, "fn_index": 1, "session_hash": "abc", **changes}).encode()


def upload(gate, content=b"x", name="photo.png", headers=()):
    """The answer to an upload."""
    head = f'--mark\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    kind = (b"content-type", b"multipart/form-data; boundary=mark")
    return ask(gate, "POST", UPLOAD, head.encode() + content + b"\r\n--mark--\r\n", headers=[kind, *headers])


def cookie_of(gate):
    """The header of a visitor who opens the page."""
    return b"cookie", ask(gate, "GET", "/")[2][b"set-cookie"].split(b";")[0]


def assert_refused(answer, *statuses):
    """With a sentence as JSON."""
    status, body, headers = answer
    assert status in statuses and headers[b"content-type"] == b"application/json"
    content = json.loads(body)
    assert list(content) == ["error"] and content["error"].endswith(".") and " " in content["error"]


@pytest.mark.parametrize(
    "path",
    ["/", "/config", "/theme.css", "/assets/index.js", "/static/img/logo.svg", "/gradio_api/heartbeat/abc"]
    + ["/gradio_api/app_id", "/gradio_api/queue/data", "/healthz"],
)
def test_what_the_page_needs_passes(gate, path):
    assert ask(gate, "GET", path)[0] == ask(gate, "HEAD", path)[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=http://192.0.2.1/"),  # gradio would fetch it
        ("GET", "/gradio_api/file=HTTPS://192.0.2.1/"),
        ("GET", "/gradio_api/file=/etc/hostname"),
        ("GET", "/gradio_api/proxy=http://192.0.2.1/"),
        ("GET", "/gradio_api/deep_link"),  # gradio would write a file that stays
        ("POST", "/gradio_api/process_recording"),  # gradio would hand what it gets to ffmpeg
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/openapi.json"),
        ("GET", "/monitoring"),
        ("GET", "//config"),
        ("GET", f"/gradio_api/heartbeat/{'x' * 65}"),
        ("POST", "/"),
        ("DELETE", JOIN),
    ],
)
def test_all_else_is_shut(gate, method, path):
    assert_refused(ask(gate, method, path, length=10), 404)


def test_no_websockets(gate):
    assert ask(gate, "GET", "/", kind="websocket") == "websocket.close"


def test_requests_are_bounded(gate):
    assert_refused(ask(gate, "POST", UPLOAD, length=1001 + HEADERS), 413)
    assert_refused(ask(gate, "POST", JOIN, length=QUESTION + 1), 413)
    assert_refused(ask(gate, "POST", JOIN, length="9" * 5000), 413)
    for path in (UPLOAD, JOIN):
        for length in ("missing", "-5"):
            assert_refused(ask(gate, "POST", path, length=length), 411)
    assert_refused(ask(gate, "POST", JOIN, bytes(QUESTION + 1), length=5), 413)  # more than it told
    assert_refused(upload(gate, bytes(HEADERS + MAX_BYTES)), 413)


def test_a_visitors_own_uploads_open(gate, folder):
    status, body, _ = upload(gate)
    (path,) = json.loads(body)
    assert status == 200 and path.endswith("/photo.png")
    for one in (path, folder / "examples/scene.png"):
        assert ask(gate, "POST", JOIN, question(one))[0] == 200
        assert ask(gate, "GET", f"/gradio_api/file={one}")[0] == 200


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("kind", ["elsewhere", "beside", "above", "link"])
def test_other_files_do_not_open(gate, folder, tmp_path_factory, kind, exists):
    """And the sentence does not tell whether there is such a file."""
    own = json.loads(upload(gate)[1])[0]
    secret = tmp_path_factory.mktemp("secret") / "secret.png"
    if kind == "beside":
        secret = folder / "secret.png"
    if exists:
        secret.write_bytes(b"x")
    if kind == "above":
        path = f"{own}/../../../../../../../../../../../../../..{secret}"
    elif kind == "link":
        (folder / "link.png").symlink_to(secret)
        path = folder / "link.png"
    else:
        path = secret
    refused = b'{"error": "This picture is not among your uploads; choose it again."}'
    plain = json.dumps({"path": str(path)})
    for data in (f"[{plain}]", f"[null, [{plain}]]", f'[{{"a": {{"b": {plain}}}}}]'):
        answer = ask(gate, "POST", JOIN, question(data=json.loads(data)))
        assert_refused(answer, 403)
        assert answer[1] == refused
    assert ask(gate, "POST", JOIN, question(event_data={"path": str(path)}))[1] == refused
    assert_refused(ask(gate, "GET", f"/gradio_api/file={path}"), 404)


@pytest.mark.parametrize("path", [None, 5, "", "x" * 5000, "a\0b", ["x"], "http://192.0.2.1/x.png", "."])
def test_a_path_that_is_none(gate, path):
    assert_refused(ask(gate, "POST", JOIN, question(data=[{"path": path}])), 403)


def test_another_visitors_uploads_do_not_open(gate):
    one, other = cookie_of(gate), cookie_of(gate)
    assert one != other and b"HttpOnly" in ask(gate, "GET", "/")[2][b"set-cookie"]
    path = json.loads(upload(gate, headers=[one])[1])[0]
    assert ask(gate, "POST", JOIN, question(path), headers=[one])[0] == 200
    for headers in ([other], []):
        assert_refused(ask(gate, "POST", JOIN, question(path), headers=headers), 403)
        assert_refused(ask(gate, "GET", f"/gradio_api/file={path}", headers=headers), 404)
    again = json.loads(upload(gate, headers=[other])[1])[0]
    assert again != path  # of the same content: nobody can guess it
    assert b"set-cookie" not in ask(gate, "GET", "/", headers=[one])[2]


@pytest.mark.parametrize(
    "body",
    [b"", b"{nope", b"[" * 100_000, b"null", b"[]", b'"\\ud800"', b"\xff", b"9" * 5000]
    + [question(fn_index=value) for value in (None, "1", 3, -1, 1.5, True, [1])]
    + [question(session_hash=value) for value in (None, "", 5, "x" * 65, "../x", "a\n")]
    + [question(data=value) for value in (None, "x", {"a": 1})]
    + [question(data=9 * [{"path": "x"}]), question(event_data="\ud800"), question(data=[[]] * (1 << 17))],
)
def test_what_the_page_does_not_ask(gate, body):
    assert_refused(ask(gate, "POST", JOIN, body), 400, 413)
    assert_refused(ask(gate, "POST", CANCEL, body), 400, 413)


def test_gradio_sees_nothing_else_of_a_question(folder):
    seen = []

    async def reading(scope, receive, send):
        seen.append(json.loads((await receive())["body"]))
        await behind({**scope, "method": "GET"}, receive, send)

    body = question(batched=True, oauth_token="x", simple_format=True, trigger_id=3)
    assert ask(make_gate(folder, reading), "POST", JOIN, body)[0] == 200
    assert sorted(seen[0]) == ["data", "fn_index", "session_hash", "trigger_id"]


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/config", 500), ("POST", JOIN, 400)])
def test_an_exception_behind_is_a_sentence(folder, capsys, method, path, status, started):
    async def failing(scope, receive, send):
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError("an\nerror of gradio's")

    answer = ask(make_gate(folder, failing), method, path, question() if method == "POST" else b"")
    if started:
        assert answer[:2] == (200, b"")
    else:
        assert_refused(answer, status)
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "KeyError" in told and "Traceback" not in told


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 422, 500, 503])
def test_an_error_of_gradios_is_a_sentence(folder, status):
    async def refusing(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"File /x", "more_body": True})
        await send({"type": "http.response.body", "body": b"/y"})

    answer = ask(make_gate(folder, refusing), "GET", "/config")
    assert_refused(answer, status)
    assert b"/x" not in answer[1]


def test_a_password_is_asked_for(folder):
    gate = make_gate(folder, auth=Auth("lab", "secret"))
    for path in ("/", "/config", "/assets/index.js"):
        answer = ask(gate, "GET", path)
        assert_refused(answer, 401)
        assert answer[2][b"www-authenticate"].startswith(b"Basic")
    assert_refused(ask(gate, "POST", UPLOAD, b"x"), 401)
    assert ask(gate, "GET", "/healthz")[:2] == (200, b'{"status": "ok"}')
    right = b"authorization", b"Basic bGFiOnNlY3JldA=="
    assert ask(gate, "GET", "/", headers=[right])[0] == 200


@pytest.mark.parametrize("header", [(b"host", b"evil.example"), (b"origin", b"http://evil.example")])
def test_foreign_sites_are_refused(gate, header):
    for method, path in (("GET", "/"), ("GET", "/healthz"), ("POST", JOIN), ("POST", UPLOAD)):
        assert_refused(ask(gate, method, path, question(), headers=[header]), 403)
