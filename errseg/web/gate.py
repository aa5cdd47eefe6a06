"""What a visitor's requests reach of gradio, which can do more than the page needs, such as fetch addresses."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from .keeping import stored

__all__ = ["Gate"]

Message = MutableMapping[str, Any]
Receive, Send = Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]

READ = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json)|/(static|assets|svelte)/.*"
    r"|/gradio_api/(startup-events|app_id|queue/data|upload_progress|heartbeat/[^/]+|file=(?![a-z][a-z0-9+.-]+:).*)",
    re.IGNORECASE,
)
UPLOAD = "/gradio_api/upload"
WRITE = (UPLOAD, "/gradio_api/queue/join", "/gradio_api/cancel")
HEADERS = 1 << 16  # bytes around an uploaded file
QUESTION = 1 << 23  # bytes of a request that is no upload: its names


class Gate:
    """An ASGI application before gradio's: passes what the page needs, and no more of it than the limits say."""

    def __init__(self, app: Callable, folder: Path, max_bytes: int, max_stored: int):
        """
        Args:
            app: the application behind.
            folder: where uploads are kept.
            max_bytes: of an upload.
            max_stored: bytes of all uploads that are kept at a time.
        """
        self._app = app
        self._folder = folder
        self._max_bytes = max_bytes + HEADERS
        self._max_stored = max_stored
        self._coming = 0  # bytes of the uploads under way

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        method, path = scope["method"], scope["path"]
        if method == "POST" and path in WRITE:
            return await self._write(path == UPLOAD, scope, receive, send)
        if method in ("GET", "HEAD") and READ.fullmatch(path):
            return await self._app(scope, receive, send)
        await _refuse(send, 404, "This page has nothing here.")

    async def _write(self, is_upload: bool, scope: Message, receive: Receive, send: Send) -> None:
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if not length.isdigit():
            return await _refuse(send, 411, "A request tells its length first.")
        if int(length) > (self._max_bytes if is_upload else QUESTION):
            return await _refuse(send, 413, "This is more than the page takes.")
        coming = max(int(length), HEADERS) if is_upload else 0
        self._coming += coming
        try:
            if is_upload and self._coming + await asyncio.to_thread(stored, self._folder) > self._max_stored:
                return await _refuse(send, 507, "Too many pictures are kept here now; try again in some minutes.")
            await self._app(scope, receive, send)
        finally:
            self._coming -= coming


async def _refuse(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
