"""Answers on their way through gradio's queue: errors as sentences, and a bound on what nobody fetches.

gradio keeps an answer, megabytes of pictures, until its visitor's stream reads it, which may be never, and once more in
the visitor's state. gradio is imported here.
"""

import time
import weakref
from typing import Any

import gradio as gr

from .replies import NOT_OURS, log

__all__ = ["Unread", "tame"]

MAX_UNREAD = 16 << 20  # characters of the answers that wait
KEEP = 60  # seconds that one waits
SMALL = 1 << 14  # characters; smaller ones do not count
VISITS = 500  # whose messages are kept
MESSAGES = 8  # of a visit that wait, answers not counted
NOT_FETCHED = "This answer was not fetched in time; click Segment again."


class Unread:
    """The answers that wait to be fetched. The oldest ones become a sentence when they are too many or too old."""

    def __init__(self, max_size: int = MAX_UNREAD, seconds: float = KEEP):
        """
        Args:
            max_size: characters of all of them.
            seconds: that one waits.
        """
        self._max_size = max_size
        self._seconds = seconds
        self._kept: list[tuple[weakref.ref, int, float]] = []  # message, size and when it came

    def note(self, message: Any) -> None:
        """Keep an eye on a message that has just come."""
        size = _size(getattr(message, "output", None))
        if size > SMALL:
            self._kept.append((weakref.ref(message), size, time.monotonic()))
            self.forget()

    def forget(self) -> None:
        """Empty the messages beyond the bounds; those that were fetched are gone already."""
        kept = [each for each in self._kept if each[0]() is not None]
        total, before = sum(size for _, size, _ in kept), time.monotonic() - self._seconds
        while kept and (total > self._max_size or kept[0][2] < before):
            message, size, _ = kept.pop(0)
            total -= size
            if (one := message()) is not None:
                one.output, one.success = {"error": NOT_FETCHED, "visible": True}, False
        self._kept = kept


def tame(page: gr.Blocks, unread: Unread) -> None:
    """Have a page's queue keep no more than it must, and answer each failure with a sentence.

    Args:
        page: with its queue.
        unread: bounds what waits.
    """
    queue, process, put = page._queue, page.process_api, page._queue.send_message
    queue.pending_messages_per_session.max_size = VISITS

    def send_message(event: Any, event_message: Any) -> None:
        waiting = queue.pending_messages_per_session.get(event.session_hash)
        if waiting is None:  # the visit has been forgotten
            return
        if waiting.qsize() >= MESSAGES and not hasattr(event_message, "output"):  # it says how long the queue is
            return
        put(event, event_message)
        unread.note(event_message)
        if len(queue.pending_event_ids_session) > 2 * VISITS:  # gradio never deletes these
            for session in set(queue.pending_event_ids_session) - set(queue.pending_messages_per_session):
                del queue.pending_event_ids_session[session]

    async def process_api(block_fn: Any, inputs: list, state: Any = None, **options: Any) -> dict[str, Any]:
        try:
            return await process(block_fn, inputs, state=state, **options)
        except Exception as error:  # the page's own functions raise none for a question of the page
            log("not answered", error)
            raise gr.Error(NOT_OURS, print_exception=False) from None
        finally:
            if state is not None:  # gradio would keep inputs and outputs for links to this moment, which are shut
                for block in (*block_fn.inputs, *block_fn.outputs):
                    state._update_value_in_config(block._id, None)

    queue.send_message = send_message
    page.process_api = process_api


def _size(value: Any) -> int:
    """Characters of the text in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 0
