"""Pictures that visitors send: each has a folder of its own in that of its visitor, and nobody else's can be named.

The folder of an upload has a name that cannot be guessed. Its visitor is known by the page's cookie; whoever never
opened the page has none, and is known by the address.
"""

import asyncio
import hashlib
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .keeping import stored
from .replies import Gone, Message, Receive, Refusal

__all__ = ["EXAMPLES", "HEADERS", "Uploads", "Visitor", "read_body"]

HEADERS = 1 << 16  # bytes around an uploaded file
EXAMPLES, VISITORS = "examples", "visitors"  # folders
SHARE = 2  # a client may fill this part of the room: one half
GRACE, RATE = 20, 20_000  # seconds for a body, and bytes in each further second
LONGEST_NAME = 150  # bytes
FULL = "Too many pictures are kept here now; try again in some minutes."


class Visitor(NamedTuple):
    client: str  # network address
    cookie: str  # "" for none


class Uploads:
    """Receives pictures within bounds, and tells whose a path is."""

    def __init__(self, folder: Path, max_bytes: int, max_stored: int):
        """
        Args:
            folder: takes the uploads; the examples are in it too.
            max_bytes: of an upload.
            max_stored: bytes of all uploads that are kept at a time.
        """
        self.most = max_bytes + HEADERS
        self._folder = folder.resolve()
        self._max_stored = max_stored
        self._coming: Counter[str] = Counter()  # bytes received of the uploads under way, for each client

    def may_open(self, path: object, visitor: Visitor) -> bool:
        """Whether a path, its links followed, is that of an upload of the visitor or of an example.

        The answer does not depend on whether there is such a file.
        """
        if not isinstance(path, str) or "\0" in path:
            return False
        try:
            parts = Path(os.path.realpath(path)).relative_to(self._folder).parts
        except (ValueError, OSError):
            return False
        if len(parts) == 2:
            return parts[0] == EXAMPLES
        if len(parts) != 5 or parts[0] != VISITORS or parts[2] != _digest(visitor.cookie):
            return False
        return bool(visitor.cookie) or parts[1] == _digest(visitor.client)

    async def take(self, scope: Message, receive: Receive, visitor: Visitor) -> str:
        """Receive an upload; returns its path.

        Raises:
            Refusal: it is no upload of one file, too slow, too large, or there is no room for it.
            Gone: the visitor hung up.
        """
        from starlette.datastructures import Headers
        from starlette.formparsers import MultiPartException, MultiPartParser

        received = 0
        room = await self._room(visitor.client)

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal received
            async for chunk in read_body(receive, self.most):
                received += len(chunk)
                self._coming[visitor.client] += len(chunk)
                self._check(visitor.client, *room)
                yield chunk

        try:
            form = await MultiPartParser(Headers(scope=scope), chunks(), max_files=1, max_fields=8).parse()
            files = [value for value in form.values() if hasattr(value, "filename")]
            if len(files) != 1 or not (name := _file_name(files[0].filename or "")):
                raise Refusal(400, "An upload is one file that has a name; choose a picture.")
            self._check(visitor.client, *await self._room(visitor.client))
            return await asyncio.to_thread(self._write, files[0].file, visitor, name)
        except (MultiPartException, LookupError, ValueError) as error:
            raise Refusal(400, "An upload is a form with one file; choose a picture.", closes=True) from error
        except OSError as error:
            raise Refusal(507, "The server has no room for pictures now; try again later.", closes=True) from error
        finally:
            self._coming[visitor.client] -= received
            self._coming += Counter()  # without the clients that are at zero

    def _write(self, content: BinaryIO, visitor: Visitor, name: str) -> str:
        place = self._folder.joinpath(VISITORS, _digest(visitor.client), _digest(visitor.cookie), secrets.token_hex(16))
        place.mkdir(parents=True)
        try:
            with (place / name).open("xb") as file:
                shutil.copyfileobj(content, file)
        except OSError:
            with suppress(OSError):
                shutil.rmtree(place)
            raise
        return str(place / name)

    async def _room(self, client: str) -> tuple[int, int]:
        """Bytes that are kept: of all clients, and of one."""
        visitors = self._folder / VISITORS
        return (
            await asyncio.to_thread(stored, self._folder),
            await asyncio.to_thread(stored, visitors / _digest(client)),
        )

    def _check(self, client: str, kept: int, own: int) -> None:
        coming = sum(self._coming.values())
        if kept + coming > self._max_stored or own + self._coming[client] > self._max_stored // SHARE:
            raise Refusal(507, FULL, closes=True)


async def read_body(receive: Receive, most: int) -> AsyncIterator[bytes]:
    """The pieces of a request's body.

    Args:
        receive: gives them.
        most: bytes that it may have.

    Raises:
        Refusal: it has more, or comes too slowly.
        Gone: it ends before its end.
    """
    clock = asyncio.get_running_loop().time
    start, received, more = clock(), 0, True
    while more:
        try:
            message = await asyncio.wait_for(receive(), start + GRACE + received / RATE - clock())
        except asyncio.TimeoutError:
            raise Refusal(408, "This request came too slowly; try again.", closes=True) from None
        if message["type"] == "http.disconnect":
            raise Gone
        chunk, more = message.get("body", b""), message.get("more_body", False)
        received += len(chunk)
        if received > most:
            raise Refusal(413, "This is more than the page takes.", closes=True)
        yield chunk


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _file_name(text: str) -> str:
    """The name of a file as a visitor has it, without folders and unusual characters; "" where nothing is left."""
    name = re.sub(r"[^\w.() -]", "_", text.replace("\\", "/").rpartition("/")[2]).strip(". ")
    stem, suffix = os.path.splitext(name)
    suffix = suffix if len(suffix) < 10 else ""
    return stem.encode()[: LONGEST_NAME - len(suffix.encode())].decode(errors="ignore") + suffix
