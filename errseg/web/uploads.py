"""The uploaded pictures. Each has its own folder in the folder of its visitor; a visitor can open only own uploads.

The name of an upload's folder cannot be guessed. The page's cookie identifies a visitor. A visitor without a cookie,
who has not opened the page, is identified by the network address.
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

HEADERS = 1 << 16  # bytes of a request in addition to the uploaded file
EXAMPLES, VISITORS = "examples", "visitors"  # folders
SHARE = 2  # a client may use 1 / SHARE of ``max_stored``
GRACE, RATE = 20, 20_000  # a body may take GRACE seconds, and one more second for every RATE bytes
LONGEST_NAME = 150  # most bytes of a file name
FULL = "Too many pictures are kept here now; try again in some minutes."


class Visitor(NamedTuple):
    client: str  # network address
    cookie: str  # "" for none


class Uploads:
    """Receives pictures within bounds, and decides which visitor may open a path."""

    def __init__(self, folder: Path, max_bytes: int, max_stored: int):
        """
        Args:
            folder: the folder of the uploads and of the examples.
            max_bytes: most bytes of an upload.
            max_stored: most bytes of all uploads that are kept at a time.
        """
        self.most = max_bytes + HEADERS
        self._folder = folder.resolve()
        self._max_stored = max_stored
        self._coming: Counter[str] = Counter()  # for each client, the bytes received of its unfinished uploads

    def may_open(self, path: object, visitor: Visitor) -> bool:
        """Whether a path, after links are resolved, is in an upload folder of the visitor or in that of the examples.

        The answer does not depend on whether the file exists.
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
        """Receive an upload; returns the path of its file.

        Raises:
            Refusal: the request is no upload of one file, is too slow or too large, or there is no room for it.
            Gone: the visitor has closed the connection.
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
            self._coming += Counter()  # removes the clients whose count is 0

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
        """Bytes that are kept: of all clients, and of this client."""
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
    """Yield the chunks of a request's body.

    Args:
        receive: returns the messages of the request.
        most: most bytes of the body.

    Raises:
        Refusal: the body is larger, or arrives too slowly.
        Gone: the connection was closed before the end of the body.
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
            raise Refusal(413, "This is more than the page accepts.", closes=True)
        yield chunk


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _file_name(text: str) -> str:
    """The visitor's name of a file, without folders and unusual characters; "" where nothing is left."""
    name = re.sub(r"[^\w.() -]", "_", text.replace("\\", "/").rpartition("/")[2]).strip(". ")
    stem, suffix = os.path.splitext(name)
    suffix = suffix if len(suffix) < 10 else ""
    return stem.encode()[: LONGEST_NAME - len(suffix.encode())].decode(errors="ignore") + suffix
