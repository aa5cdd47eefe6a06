"""A user and a password before the page, by the browser's own dialog (HTTP Basic)."""

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

LONGEST = 1024  # bytes of a password
WAIT = 1.0  # seconds that a wrong password takes
AT_ONCE = 8  # wrong passwords of a client that wait at a time; it cannot try another one meanwhile
DEMAND = (b"www-authenticate", b'Basic realm="errseg", charset="UTF-8"')


class Auth:
    """Lets those through who know the user and the password."""

    def __init__(self, user: str, password: str):
        """
        Args:
            user: without a colon.
            password: of the user.
        """
        self._wanted = _digest(f"{user}:{password}".encode())
        self._failing: Counter[str] = Counter()

    @classmethod
    def from_option(cls, text: str) -> "Auth":
        """From ``USER:PASSWORD-FILE``; the password is the file's first line.

        Raises:
            UsageError: the text is something else, the file cannot be read, holds no password, or is open to everybody.
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
            raise UsageError(f"The password file {path} is not in UTF-8; save it anew.") from error
        if len(content) > LONGEST or len(lines) != 1 or not lines[0]:
            raise UsageError(f"The password file {path} must hold one line, the password, and nothing else.")
        return cls(user, lines[0])

    async def check(self, scope: Message) -> None:
        """Return where a request brings user and password.

        Raises:
            Refusal: it does not; a wrong password has to wait, and its sender tries few at a time.
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
            self._failing += Counter()  # without the clients that are at zero
        raise Refusal(401, "User or password is wrong.", [DEMAND])


def _decoded(sent: bytes) -> bytes:
    """``user:password`` of a header; empty where it is another one."""
    kind, _, value = sent.partition(b" ")
    try:
        return base64.b64decode(value.strip(), validate=True) if kind.lower() == b"basic" else b""
    except ValueError:
        return b""


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
