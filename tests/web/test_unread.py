"""What gradio keeps for visitors who do not fetch it; a small page stands for ours."""

import gc
import http.client
import json
import socket
import tracemalloc

import pytest

from tests.web.browser import needs_gradio

needs_gradio()

REQUESTS, ANSWER = 24, 4 << 20  # characters of an answer, as those of a picture of 1200 x 1200


@pytest.fixture(scope="module")
def unread():
    from errseg.web import unread  # imports gradio

    return unread


class Message:
    def __init__(self, size):
        self.output, self.success = {"data": [{"photo": size * "x"}, None]}, True


def test_answers_beyond_the_bound_become_a_sentence(unread):
    waiting = unread.Unread(max_size=100_000)
    small, *large = (Message(size) for size in (100, 40_000, 40_000, 40_000))
    for message in (small, *large):
        waiting.note(message)
    assert [message.success for message in (small, *large)] == [True, False, True, True]
    assert large[0].output["error"] == unread.NOT_FETCHED
    del large[1]  # it has been fetched
    waiting.note(last := Message(40_000))
    assert large[1].success and last.success


def test_answers_are_kept_for_a_while(unread):
    waiting = unread.Unread(seconds=0)
    waiting.note(message := Message(40_000))
    waiting.forget()
    assert not message.success
    waiting = unread.Unread(seconds=60)
    waiting.note(message := Message(40_000))
    waiting.forget()
    assert message.success


@pytest.fixture
def page(unread):
    """Its first event answers at length, and its second one may fail."""
    import gradio as gr

    with gr.Blocks(analytics_enabled=False) as page:
        view, number = gr.HTML(None), gr.Number()
        number.change(lambda number: {"photo": ANSWER * "x"}, number, view)
        number.input(lambda number: 1 / number, number, number)
    page.queue(max_size=300)
    unread.tame(page, unread.Unread())
    options = {"quiet": True, "share": False, "ssr_mode": False, "_frontend": False, "state_session_capacity": 32}
    page.launch(server_name="127.0.0.1", prevent_thread_lock=True, **options)
    yield page
    page.close(verbose=False)


@pytest.fixture
def port(page):
    return page.server_port


def ask(port, session, number=1, event=0):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    question = {"data": [number], "fn_index": event, "session_hash": session}
    kind = {"Content-Type": "application/json"}
    connection.request("POST", "/gradio_api/queue/join", json.dumps(question), kind)
    assert connection.getresponse().status == 200


def fetch(port, session):
    """The last message of a visit."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
    for line in connection.getresponse():
        if line.startswith(b"data:") and b'"process_completed"' in line:
            return json.loads(line[5:])


def leave(port, session):
    """Read until the answer begins, and hang up."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET /gradio_api/queue/data?session_hash={session} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        seen = b""
        while b"process_completed" not in seen:
            seen = seen[-100:] + connection.recv(1 << 16)


@pytest.fixture
def held():
    """Measure the bytes of the Python objects that were made since the first call and are alive.

    The size of the process would not do: it contains free memory of the allocator, and the amount of that depends on
    the order in which threads run.
    """

    def measure():
        if not tracemalloc.is_tracing():
            tracemalloc.start()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield measure
    tracemalloc.stop()


@pytest.mark.parametrize("leaves", [False, True], ids=["never read", "left at once"])
def test_what_nobody_fetches_is_freed(port, leaves, held, unread):
    for number in range(10):  # the first ones load libraries
        ask(port, f"first{number}")
        assert len(fetch(port, f"first{number}")["output"]["data"][0]["photo"]) == ANSWER
    before = held()
    for number in range(REQUESTS):
        ask(port, f"visit{number}")
        if leaves:
            leave(port, f"visit{number}")
    ask(port, "last")
    assert len(fetch(port, "last")["output"]["data"][0]["photo"]) == ANSWER
    # What may wait, and the last answer as object, JSON, bytes and buffer
    assert held() - before < unread.MAX_UNREAD + 4 * ANSWER
    if not leaves:
        assert fetch(port, "visit0")["output"]["error"] == unread.NOT_FETCHED


def test_a_failing_event_is_a_sentence(port, capsys):
    for number in (0, "x", None, {"a": []}):
        ask(port, "visit", number, event=1)
        message = fetch(port, "visit")
        assert not message["success"] and message["output"]["error"].endswith(" reload the page.")
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told and "Traceback" not in told
    ask(port, "visit", 4, event=1)
    assert fetch(port, "visit")["output"]["data"] == [0.25]


def test_visits_are_forgotten(page, port, unread, monkeypatch):
    """gradio's own records of them, too."""
    monkeypatch.setattr(unread, "VISITS", 5)
    queue = page._queue
    queue.pending_messages_per_session.max_size = 5
    for number in range(20):
        ask(port, f"visit{number}", 4, event=1)
    fetch(port, "visit19")
    assert len(queue.pending_messages_per_session) <= 5 and len(queue.pending_event_ids_session) <= 11
