"""Protect the page by a user and a password, which the browser's own dialog asks for (HTTP Basic)."""

import asyncio
import base64
import hashlib
import hmac
import os
import stat
from collections import Counter

from errseg.errors import UsageError
from errseg.safe_files import open_regular

from .replies import Message, Refusal

__all__ = ["Auth"]

LONGEST = 1024  # most bytes of a password file
WAIT = 1.0  # seconds until a wrong password is answered
AT_ONCE = 8  # wrong passwords of a client that may wait at a time; the client cannot try another one meanwhile
DEMAND = (b"www-authenticate", b'Basic realm="errseg", charset="UTF-8"')


class Auth:
    """Accepts requests that have the right user and password."""

    def __init__(self, user: str, password: str):
        """
        Args:
            user: the name of the user, without a colon.
            password: the password of the user.
        """
        self._wanted = _digest(f"{user}:{password}".encode())
        self._failing: Counter[str] = Counter()

    @classmethod
    def from_option(cls, text: str) -> "Auth":
        """Read the option ``USER:PASSWORD-FILE``; the password is the only line of the file.

        Raises:
            UsageError: the text has another form; or the file cannot be read, holds no password, or may be read or
                written by every user of the machine.
        """
        user, _, path = text.partition(":")
        if not user or not path:
            raise UsageError(f"--auth is USER:PASSWORD-FILE, not {text!r}; write the password into a file.")
        with os.fdopen(open_regular(path, "password file"), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(LONGEST + 1)
        if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
            raise UsageError(f"The password file {path} is open to every user of this machine; run chmod o= on it.")
        try:
            lines = content.decode().splitlines()
        except UnicodeDecodeError as error:
            raise UsageError(f"The password file {path} is not in UTF-8; save it in UTF-8.") from error
        if len(content) > LONGEST or len(lines) != 1 or not lines[0]:
            raise UsageError(f"The password file {path} must hold one line, the password, and nothing else.")
        return cls(user, lines[0])

    async def check(self, scope: Message) -> None:
        """Check the user and the password of a request.

        Raises:
            Refusal: they are missing or wrong. The answer to a wrong password is delayed, and a client may have only a
                few of them waiting.
        """
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        if sent is None:
            raise Refusal(401, "This page needs a user and a password.", [DEMAND])
        client = str((scope.get("client") or [""])[0])
        if self._failing[client] >= AT_ONCE:
            raise Refusal(429, "Too many wrong passwords; try again in a minute.", [(b"retry-after", b"60")])
        if hmac.compare_digest(_digest(_decoded(sent)), self._wanted):
            return
        self._failing[client] += 1
        try:
            await asyncio.sleep(WAIT)
        finally:
            self._failing[client] -= 1
            self._failing += Counter()  # removes the clients whose count is 0
        raise Refusal(401, "User or password is wrong.", [DEMAND])


def _decoded(sent: bytes) -> bytes:
    """``user:password`` of a header; empty where the header has another form."""
    kind, _, value = sent.partition(b" ")
    try:
        return base64.b64decode(value.strip(), validate=True) if kind.lower() == b"basic" else b""
    except ValueError:
        return b""


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
