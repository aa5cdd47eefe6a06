"""Bounds of what uploads take: bytes, time, and each client's share."""

import asyncio

import pytest

from errseg.web import uploads as module
from errseg.web.keeping import LEAST
from errseg.web.replies import Gone, Refusal
from errseg.web.uploads import Uploads, Visitor, read_body

pytest.importorskip("starlette", reason="the web page needs gradio, which brings it: pip install -e '.[web]'")

HEAD = b'--mark\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n'
SCOPE = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=mark")]}
ONE, OTHER = Visitor("192.0.2.1", ""), Visitor("192.0.2.2", "")


def form(content=b"x", name=b"photo.png"):
    return HEAD % name + content + b"\r\n--mark--\r\n"


def source(*pieces, then=None):
    """A ``receive`` of pieces, and of the end: the last one's, or a message, or none that ever comes."""
    left = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if then is None:
        left[-1]["more_body"] = False

    async def receive():
        if left:
            return left.pop(0)
        if then == "never":
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    return receive


def take(uploads, receive, visitor=ONE):
    return asyncio.run(uploads.take(SCOPE, receive, visitor))


@pytest.fixture
def hurried(monkeypatch):
    """Limits of time that a test can wait for."""
    monkeypatch.setattr(module, "GRACE", 0.1)


def test_an_upload_is_kept_under_its_name(tmp_path):
    uploads = Uploads(tmp_path, 1 << 20, 1 << 30)
    for name, kept in (
        ("photo.png", "photo.png"),
        ("../../etc/sent.png", "sent.png"),
        (r"C:\\photo.png", "photo.png"),
        ("a<b>|c\u0001.jpg", "a_b__c_.jpg"),
        ("ä" * 300 + ".png", "ä" * 73 + ".png"),
        (".png", "png"),
    ):
        path = take(uploads, source(form(b"content", name.encode())))
        assert path.endswith(f"/{kept}") and open(path, "rb").read() == b"content"
        assert uploads.may_open(path, ONE) and not uploads.may_open(path, OTHER)


@pytest.mark.parametrize("name", [b"", b"..", b".", b"../", b" "])
def test_an_upload_without_a_name_is_refused(tmp_path, name):
    with pytest.raises(Refusal, match="one file that has a name"):
        take(Uploads(tmp_path, 1 << 20, 1 << 30), source(form(name=name)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"--mark--\r\n", HEAD % b"a.png", 2 * (HEAD % b"a.png" + b"x\r\n") + b"--mark--\r\n"]
    + [
        b'--mark\r\nContent-Disposition: form-data; name="files"\r\n\r\nx\r\n--mark--\r\n',
        b"--mark\r\n\r\nx\r\n--mark--",
    ],
)
def test_what_is_no_upload_is_refused(tmp_path, body):
    uploads = Uploads(tmp_path, 1 << 20, 1 << 30)
    with pytest.raises(Refusal) as refusal:
        take(uploads, source(body))
    assert refusal.value.status == 400
    for kind in (b"text/plain", b"multipart/form-data", b"multipart/form-data; boundary=", None):
        headers = [] if kind is None else [(b"content-type", kind)]
        with pytest.raises(Refusal):
            asyncio.run(uploads.take({"type": "http", "headers": headers}, source(form()), ONE))
    assert list(tmp_path.iterdir()) == []


def test_uploads_together_are_bounded(tmp_path):
    uploads = Uploads(tmp_path, 1 << 20, 4 * LEAST)
    paths = [take(uploads, source(form()), visitor) for visitor in (ONE, ONE, OTHER, OTHER)]
    for visitor in (ONE, OTHER, Visitor("192.0.2.3", "")):
        with pytest.raises(Refusal, match="Too many pictures are kept here now") as refusal:
            take(uploads, source(form()), visitor)
        assert refusal.value.status == 507
    open(paths[0], "wb").close()
    for path in paths[:2]:
        module.Path(path).unlink()
    assert take(uploads, source(form()), ONE)


def test_a_client_fills_its_share_alone(tmp_path):
    uploads = Uploads(tmp_path, 1 << 20, 4 * LEAST)
    for number in range(2):
        take(uploads, source(form()), Visitor(ONE.client, f"cookie{number}"))
    with pytest.raises(Refusal, match="Too many"):
        take(uploads, source(form()), Visitor(ONE.client, "cookie9"))
    assert take(uploads, source(form()), OTHER)


def test_stalled_uploads_lock_nobody_out(tmp_path, hurried):
    """What counts is what they have sent, and their time ends."""
    uploads = Uploads(tmp_path, 1 << 30, 8 * LEAST)

    async def work():
        stalled = [asyncio.create_task(uploads.take(SCOPE, source(HEAD % b"a", then="never"), ONE)) for _ in range(73)]
        await asyncio.sleep(0.02)
        path = await uploads.take(SCOPE, source(form()), ONE)
        return path, await asyncio.gather(*stalled, return_exceptions=True)

    path, ends = asyncio.run(work())
    assert module.Path(path).is_file()
    assert [(type(end), end.status) for end in ends] == 73 * [(Refusal, 408)]
    assert not uploads._coming


def test_uploads_under_way_count(tmp_path):
    """By what has been received of them."""
    uploads = Uploads(tmp_path, 1 << 30, 8 * LEAST)

    async def work():
        first = source(HEAD % b"a", bytes(3 * LEAST), then="never")
        task = asyncio.create_task(uploads.take(SCOPE, first, ONE))
        await asyncio.sleep(0.05)
        with pytest.raises(Refusal, match="Too many"):
            await uploads.take(SCOPE, source(form(bytes(2 * LEAST))), ONE)
        await uploads.take(SCOPE, source(form(bytes(2 * LEAST))), OTHER)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await uploads.take(SCOPE, source(form(bytes(2 * LEAST))), ONE)

    asyncio.run(work())


def test_an_upload_that_is_broken_off_leaves_nothing(tmp_path):
    uploads = Uploads(tmp_path, 1 << 22, 1 << 30)
    with pytest.raises(Gone):
        take(uploads, source(HEAD % b"a.png" + bytes(1 << 21), then="hangs up"))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_sentence(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfileobj", full)
    with pytest.raises(Refusal, match="no room for pictures") as refusal:
        take(Uploads(tmp_path, 1 << 20, 1 << 30), source(form()))
    assert refusal.value.status == 507
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def read(receive, most=1000):
    async def work():
        return b"".join([piece async for piece in read_body(receive, most)])

    return asyncio.run(work())


def test_a_slow_body_is_refused(monkeypatch):
    """One that drips, byte by byte, too."""

    async def dripping():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    monkeypatch.setattr(module, "GRACE", 0.1)
    for receive in (dripping, source(b"x", then="never")):
        with pytest.raises(Refusal, match="too slowly") as refusal:
            read(receive)
        assert refusal.value.status == 408 and (b"connection", b"close") in refusal.value.headers
    monkeypatch.setattr(module, "RATE", 10)  # bytes a second: this one is fast enough
    with pytest.raises(Refusal) as refusal:
        read(dripping, most=20)
    assert refusal.value.status == 413


def test_a_body():
    assert read(source(b"a", b"", b"bc")) == b"abc"
    with pytest.raises(Refusal, match="more than the page accepts"):
        read(source(b"a" * 600, b"a" * 600))
    with pytest.raises(Gone):
        read(source(b"a", then="hangs up"))
