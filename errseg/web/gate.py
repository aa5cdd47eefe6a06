"""A filter before gradio. gradio can do more than the page needs, such as fetch addresses; the filter blocks that."""

import json
import re
import secrets
from collections.abc import Callable, Container
from http.cookies import CookieError, SimpleCookie

from .auth import Auth
from .hosts import Hosts
from .questions import QUESTION, SESSION, paths_in, read_question
from .replies import NOT_OURS, WENT_WRONG, Gone, Message, Receive, Refusal, Reply, Send, log
from .uploads import Uploads, Visitor, read_body

__all__ = ["Gate"]

FILE = "/gradio_api/file="
READ = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json)|/(static|assets|svelte)/.*"
    rf"|/gradio_api/(startup-events|app_id|queue/data|heartbeat/{SESSION}|file=.*)",
    re.ASCII | re.DOTALL,
)
UPLOAD, PROGRESS = "/gradio_api/upload", "/gradio_api/upload_progress"
JOIN, CANCEL = "/gradio_api/queue/join", "/gradio_api/cancel"
START, HEALTH = "/gradio_api/startup-events", "/healthz"  # without password: called by the server, and by a monitor
COOKIE = "errseg_visitor"
MAX_PATHS = 8  # most paths in a question; the page sends one
NOTHING = "This page has nothing here."
NOT_YOURS = "This picture is not among your uploads; choose it again."


class Gate:
    """An ASGI application before gradio's. It passes only the requests that the page needs, within the limits.

    Every refusal is a sentence as JSON, including gradio's refusals and the results of its exceptions.
    """

    def __init__(
        self,
        app: Callable,
        uploads: Uploads,
        hosts: Hosts,
        auth: Auth | None = None,
        events: Container[int] = range(99),
    ):
        """
        Args:
            app: gradio's application.
            uploads: receives the pictures.
            hosts: the host names under which the page answers.
            auth: user and password; None: everybody may use the page.
            events: numbers of the page's events.
        """
        self._app = app
        self._uploads = uploads
        self._hosts = hosts
        self._auth = auth
        self._events = events

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        reply = Reply(send)
        try:
            await self._answer({**scope, "headers": self._hosts.check(scope)}, receive, reply)
        except Refusal as refusal:
            await reply.refuse(refusal)
        except Gone:
            await reply.refuse(Refusal(400, NOT_OURS))
        except Exception as error:
            log(f"not answered: {scope['method']} {ascii(scope['path'][:99])}", error)
            await reply.refuse(Refusal(500, WENT_WRONG))

    async def _answer(self, scope: Message, receive: Receive, reply: Reply) -> None:
        method, path = scope["method"], scope["path"]
        is_read = method in ("GET", "HEAD")
        if is_read and path == HEALTH:
            return await reply.json({"status": "ok"})
        if self._auth is not None and path != START:
            await self._auth.check(scope)
        visitor = _visitor(scope)
        if method == "POST" and path == UPLOAD:
            _check_length(scope, self._uploads.most)
            return await reply.json([await self._uploads.take(scope, receive, visitor)])
        if method == "POST" and path in (JOIN, CANCEL):
            return await self._ask(scope, receive, reply, visitor)
        if is_read and path == PROGRESS:  # an upload is either complete or refused: there is no progress to report
            return await reply.events('{"msg": "done"}')
        if not is_read or not READ.fullmatch(path):
            raise Refusal(404, NOTHING)
        if path.startswith(FILE) and not self._uploads.may_open(path.removeprefix(FILE), visitor):
            raise Refusal(404, NOTHING)
        if path == "/" and not visitor.cookie:
            cookie = f"{COOKIE}={secrets.token_urlsafe(24)}; Path=/; HttpOnly; SameSite=Lax"
            reply.headers.append((b"set-cookie", cookie.encode()))
        await self._app(scope, receive, reply.send)

    async def _ask(self, scope: Message, receive: Receive, reply: Reply, visitor: Visitor) -> None:
        _check_length(scope, QUESTION)
        question = read_question(b"".join([chunk async for chunk in read_body(receive, QUESTION)]))
        paths = paths_in(question)
        if question["fn_index"] not in self._events or len(paths) > MAX_PATHS:
            raise Refusal(400, NOT_OURS)
        if not all(self._uploads.may_open(path, visitor) for path in paths):
            raise Refusal(403, NOT_YOURS)
        content = json.dumps(question).encode()
        headers = [header for header in scope["headers"] if header[0] not in (b"content-length", b"content-type")]
        headers += [(b"content-length", str(len(content)).encode()), (b"content-type", b"application/json")]
        first: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

        async def again() -> Message:
            return first.pop() if first else await receive()

        try:
            await self._app({**scope, "headers": headers}, again, reply.send)
        except Exception as error:  # gradio cannot process the question
            log("not asked", error)
            raise Refusal(400, NOT_OURS) from error


def _check_length(scope: Message, most: int) -> None:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    if not length.isdigit():
        raise Refusal(411, "A request must give its length first.")
    if len(length) > 15 or int(length) > most:
        raise Refusal(413, "This is more than the page accepts.")


def _visitor(scope: Message) -> Visitor:
    sent = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    try:
        cookie = SimpleCookie(sent).get(COOKIE)
    except CookieError:
        cookie = None
    return Visitor(str((scope.get("client") or [""])[0]), cookie.value if cookie else "")
