"""Connections of uvicorn's own server, which gradio starts."""

import asyncio
import json
import socket
import time

import pytest

from errseg.web import sockets
from tests.web.browser import needs_gradio

needs_gradio()

ANSWER = 16 << 20  # characters: more than the system keeps of what nobody reads


@pytest.fixture
def page():
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as page:
        view, number = gr.HTML(None), gr.Number()
        number.change(lambda number: {"photo": ANSWER * "x"}, number, view)
    page.queue()
    options = {"quiet": True, "share": False, "ssr_mode": False, "_frontend": False}
    page.launch(server_name="127.0.0.1", prevent_thread_lock=True, **options)
    yield page
    page.close(verbose=False)


def send(page, content):
    connection = socket.create_connection(("127.0.0.1", page.server_port))
    connection.settimeout(10)
    connection.sendall(content)
    return connection


def is_cut(connection):
    """Whether the server has ended a connection, once all that it sent before is read."""
    try:
        while connection.recv(1 << 20):
            pass
    except (ConnectionResetError, TimeoutError) as error:
        return isinstance(error, ConnectionResetError)
    return True


def look(page, seconds):
    """Let a server look at its connections."""

    async def work():
        looker, end = sockets.Sockets(page.server), time.monotonic() + seconds
        while time.monotonic() < end:
            looker.cut()
            await asyncio.sleep(0.05)

    asyncio.run_coroutine_threadsafe(work(), page.server.servers[0].get_loop()).result(30)


@pytest.mark.parametrize("content", [b"", b"GET / HTTP/1.1\r\nHo"], ids=["nothing", "half of the headers"])
def test_a_request_that_does_not_come(page, content, monkeypatch):
    monkeypatch.setattr(sockets, "IDLE", 0.2)
    still, waiting = send(page, content), send(page, b"GET /gradio_api/heartbeat/abc HTTP/1.1\r\nHost: x\r\n\r\n")
    look(page, 0.6)
    assert is_cut(still)
    waiting.settimeout(0.1)  # it waits for the server
    assert b"ALIVE" in waiting.recv(1 << 16) and not is_cut(waiting)


@pytest.mark.parametrize("limit", ["STALLED", "HURRIED"])
def test_an_answer_that_is_not_read(page, limit, monkeypatch):
    monkeypatch.setattr(sockets, limit, 0.2)
    monkeypatch.setattr(sockets, "MUCH", 1 << 20 if limit == "HURRIED" else 1 << 30)
    body = json.dumps({"data": [1], "fn_index": 0, "session_hash": "abc"})
    head = f"Host: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
    is_cut(send(page, f"POST /gradio_api/queue/join HTTP/1.1\r\n{head}\r\n\r\n{body}".encode()))
    still = send(page, b"GET /gradio_api/queue/data?session_hash=abc HTTP/1.1\r\nHost: x\r\n\r\n")
    look(page, 1.5)
    received = 0
    with pytest.raises(ConnectionResetError):
        while piece := still.recv(1 << 20):
            received += len(piece)
        raise ConnectionResetError
    assert received < ANSWER and not page.server.server_state.connections
