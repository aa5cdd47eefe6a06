"""Bound the answers that wait in gradio's queue, and turn gradio's errors into sentences.

gradio keeps an answer, which holds megabytes of pictures, until the visitor's stream reads it. That may never happen.
gradio also keeps a copy in the visitor's state. This module imports gradio.
"""

import time
import weakref
from typing import Any

import gradio as gr

from .replies import NOT_OURS, log

__all__ = ["Unread", "tame"]

MAX_UNREAD = 16 << 20  # most characters of all waiting answers
KEEP = 60  # most seconds that an answer waits
SMALL = 1 << 14  # characters; smaller answers do not count
VISITS = 500  # most visits whose messages are kept
MESSAGES = 8  # most waiting messages of a visit; answers are kept in any case
NOT_FETCHED = "This answer was not fetched in time; click Segment again."


class Unread:
    """The answers that wait to be fetched. If they are too large or too old, a sentence replaces the oldest ones."""

    def __init__(self, max_size: int = MAX_UNREAD, seconds: float = KEEP):
        """
        Args:
            max_size: most characters of all waiting answers.
            seconds: most seconds that an answer waits.
        """
        self._max_size = max_size
        self._seconds = seconds
        self._kept: list[tuple[weakref.ref, int, float]] = []  # message, size and time of arrival

    def note(self, message: Any) -> None:
        """Register a new message; small ones do not count."""
        size = _size(getattr(message, "output", None))
        if size > SMALL:
            self._kept.append((weakref.ref(message), size, time.monotonic()))
            self.forget()

    def forget(self) -> None:
        """Replace the oldest answers by a sentence until the bounds are met. Fetched answers do not count."""
        kept = [each for each in self._kept if each[0]() is not None]
        total, before = sum(size for _, size, _ in kept), time.monotonic() - self._seconds
        while kept and (total > self._max_size or kept[0][2] < before):
            message, size, _ = kept.pop(0)
            total -= size
            if (one := message()) is not None:
                one.output, one.success = {"error": NOT_FETCHED, "visible": True}, False
        self._kept = kept


def tame(page: gr.Blocks, unread: Unread) -> None:
    """Bound the memory of a page's queue, and let it answer each failure with a sentence.

    Args:
        page: the page, with its queue.
        unread: bounds the waiting answers.
    """
    queue, process, put = page._queue, page.process_api, page._queue.send_message
    queue.pending_messages_per_session.max_size = VISITS

    def send_message(event: Any, event_message: Any) -> None:
        waiting = queue.pending_messages_per_session.get(event.session_hash)
        if waiting is None:  # the visit has been forgotten
            return
        if waiting.qsize() >= MESSAGES and not hasattr(event_message, "output"):  # only news about the queue
            return
        put(event, event_message)
        unread.note(event_message)
        if len(queue.pending_event_ids_session) > 2 * VISITS:  # gradio never deletes these
            for session in set(queue.pending_event_ids_session) - set(queue.pending_messages_per_session):
                del queue.pending_event_ids_session[session]

    async def process_api(block_fn: Any, inputs: list, state: Any = None, **options: Any) -> dict[str, Any]:
        try:
            return await process(block_fn, inputs, state=state, **options)
        except Exception as error:  # for questions of the page itself, its functions raise none
            log("not answered", error)
            raise gr.Error(NOT_OURS, print_exception=False) from None
        finally:
            if state is not None:  # gradio would keep inputs and outputs for links to the present state, which are off
                for block in (*block_fn.inputs, *block_fn.outputs):
                    state._update_value_in_config(block._id, None)

    queue.send_message = send_message
    page.process_api = process_api


def _size(value: Any) -> int:
    """The number of characters of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, (list, tuple)) else 0
