"""Replies to requests. A refused request gets one sentence as JSON, and at most one line in the log."""

import json
import sys
import traceback
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

__all__ = ["Gone", "Message", "Receive", "Refusal", "Reply", "Send", "log"]

Message = MutableMapping[str, Any]
Receive, Send = Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

NOT_OURS = "This is no request that the page sends; reload the page."
SENTENCES = {  # for errors of gradio, whose own messages may name files of the server
    403: "This page has nothing here.",
    404: "This page has nothing here.",
    405: "This page has nothing here.",
    413: "This is more than the page accepts.",
    503: "Too many requests are waiting now; try again in a minute.",
}
WENT_WRONG = "Something went wrong on the server; its log has the reason."
LONGEST = 300  # most characters of an exception in the log; its message may hold a visitor's text


class Refusal(Exception):
    """A request is refused; the message is the sentence for its sender."""

    def __init__(self, status: int, sentence: str, headers: Headers = (), closes: bool = False):
        """
        Args:
            status: the HTTP status.
            sentence: the sentence for the sender.
            headers: further headers of the answer.
            closes: close the connection, because the rest of the request is not read.
        """
        super().__init__(sentence)
        self.status = status
        self.headers = [*headers, *([(b"connection", b"close")] if closes else [])]


class Gone(Exception):
    """The sender of a request has closed the connection."""


class Reply:
    """The sending side of one request. An answer with an error status goes out as a JSON sentence."""

    def __init__(self, send: Send):
        self.headers: list[tuple[bytes, bytes]] = []  # further headers of an answer that is no refusal
        self._send = send
        self._is_started = self._is_ended = False

    async def send(self, message: Message) -> None:
        """Pass a message of gradio on. If it begins an error, send a refusal instead."""
        if self._is_ended:  # the body of an error that was replaced by a refusal
            return
        if message["type"] == "http.response.start":
            status = message["status"]
            if status >= 400:
                sentence = SENTENCES.get(status, WENT_WRONG if status >= 500 else NOT_OURS)
                return await self.refuse(Refusal(status, sentence))
            self._is_started = True
            message = {**message, "headers": [*message.get("headers", []), *self.headers]}
        elif message["type"] == "http.response.body":
            self._is_ended = not message.get("more_body", False)
        await self._send(message)

    async def json(self, value: Any, status: int = 200, headers: Headers = ()) -> None:
        """Answer with a value."""
        content = json.dumps(value).encode()
        kind = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        self._is_started = self._is_ended = True
        await self._send({"type": "http.response.start", "status": status, "headers": [*kind, *headers]})
        await self._send({"type": "http.response.body", "body": content})

    async def events(self, *events: str) -> None:
        """Answer with a stream of events that ends at once."""
        self._is_started = self._is_ended = True
        await self._send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
        )
        content = "".join(f"data: {event}\n\n" for event in events)
        await self._send({"type": "http.response.body", "body": content.encode()})

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a sentence. An answer that has begun already is ended instead."""
        if not self._is_started:
            await self.json({"error": str(refusal)}, refusal.status, refusal.headers)
        elif not self._is_ended:
            self._is_ended = True
            await self._send({"type": "http.response.body", "body": b""})


def log(what: str, error: BaseException) -> None:
    """Write one line about an exception: its place, type and message."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    print(
        f"errseg web: {what}: {type(error).__name__}{place}: {ascii(str(error))[:LONGEST]}", file=sys.stderr, flush=True
    )
