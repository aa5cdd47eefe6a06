import asyncio
import base64
import os
import time

import pytest

from errseg.errors import UsageError
from errseg.web import auth as module
from errseg.web.auth import AT_ONCE, Auth
from errseg.web.replies import Refusal


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(module, "WAIT", 0.05)


def scope(sent=None, client="192.0.2.1"):
    return {"headers": [] if sent is None else [(b"authorization", sent)], "client": (client, 1)}


def basic(text):
    return b"Basic " + base64.b64encode(text.encode())


def status(auth, *arguments):
    try:
        asyncio.run(auth.check(scope(*arguments)))
    except Refusal as refusal:
        return refusal.status
    return 200


def password_file(folder, content=b"geheim\xc3\xa4:x\n", mode=0o600):
    path = folder / "password.txt"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_who_knows_the_password_passes(tmp_path, hurried):
    auth = Auth.from_option(f"lab:{password_file(tmp_path)}")
    assert status(auth, basic("lab:geheimä:x")) == 200
    assert status(auth, basic("lab:geheimä:x").replace(b"Basic", b"basic")) == 200
    assert status(auth) == 401


@pytest.mark.parametrize(
    "sent",
    [basic(text) for text in ("lab:", "lab:geheim", "lab:geheimä:x\n", "Lab:geheimä:x", ":geheimä:x", "", "lab")]
    + [b"", b"Basic", b"Basic %%%", b"Basic \xff", b"Bearer x", basic("lab:geheimä:x").replace(b"Basic", b"Digest")],
)
def test_all_else_is_refused(tmp_path, sent, hurried):
    assert status(Auth.from_option(f"lab:{password_file(tmp_path)}"), sent) == 401


def test_guessing_takes_time(hurried):
    """A wrong password waits; a client has few tries at a time, and others are not kept waiting by it."""
    auth = Auth("lab", "secret")
    start = time.monotonic()
    assert status(auth, basic("lab:wrong")) == 401
    assert time.monotonic() - start >= 0.04

    async def work():
        guesses = [auth.check(scope(basic(f"lab:{number}"))) for number in range(AT_ONCE + 5)]
        good = [auth.check(scope(basic("lab:secret"), "192.0.2.2"))]
        return await asyncio.gather(*guesses, *good, return_exceptions=True)

    ends = [getattr(end, "status", 200) for end in asyncio.run(work())]
    assert ends == AT_ONCE * [401] + 5 * [429] + [200]
    assert status(auth, basic("lab:secret")) == 200 and not auth._failing


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"secret", 0o644, "open to every user of this machine; run chmod o="),
        (b"secret", 0o602, "open to every user"),
        (b"", 0o600, "must hold one line"),
        (b"\n", 0o600, "must hold one line"),
        (b"a\nb\n", 0o600, "must hold one line"),
        (b"x" * 2000, 0o600, "must hold one line"),
        (b"\xff\xfe", 0o600, "not in UTF-8"),
    ],
)
def test_a_password_file_that_cannot_be_used_is_a_sentence(tmp_path, content, mode, words):
    with pytest.raises(UsageError, match=words) as error:
        Auth.from_option(f"lab:{password_file(tmp_path, content, mode)}")
    assert "secret" not in str(error.value)


def test_what_is_no_password_file_is_a_sentence(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for text, words in (
        ("lab", "--auth is USER:PASSWORD-FILE"),
        (":file", "--auth is USER:PASSWORD-FILE"),
        ("lab:", "--auth is USER:PASSWORD-FILE"),
        (f"lab:{tmp_path / 'missing'}", "does not exist"),
        (f"lab:{tmp_path / 'fifo'}", "not a regular file"),
        (f"lab:{tmp_path}", "not a regular file"),
        ("lab:/dev/zero", "not a regular file"),
    ):
        with pytest.raises(UsageError, match=words):
            Auth.from_option(text)
