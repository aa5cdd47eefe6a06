"""Close stalled connections: those that send no request, and those whose other end does not read the answer.

uvicorn waits for both without limit, and an application does not see them.
"""

import time
import weakref
from typing import Any

__all__ = ["Sockets"]

IDLE = 20  # most seconds until a request and its headers have arrived
STALLED = 20  # most seconds in which the other end reads nothing
HURRIED = 3  # replaces STALLED where more than MUCH bytes wait to be read
MUCH = 16 << 20  # bytes, of all connections


class Sockets:
    """Closes the stalled connections of a uvicorn server."""

    def __init__(self, server: Any):
        """
        Args:
            server: a running uvicorn server.
        """
        self._connections = server.server_state.connections
        self._since: weakref.WeakKeyDictionary[Any, tuple[Any, float]] = weakref.WeakKeyDictionary()

    def cut(self) -> None:
        """Check each connection, and close it if it is stalled. Call this in the server's thread every few seconds."""
        now = time.monotonic()
        waiting = sum(each.transport.get_write_buffer_size() for each in self._connections)
        for each in list(self._connections):
            state = _state(each)
            before, since = self._since.get(each, (None, now))
            if state is None or state != before:
                self._since[each] = state, now
            elif now - since > (IDLE if state[0] == "idle" else HURRIED if waiting > MUCH else STALLED):
                each.transport.abort()


def _state(connection: Any) -> tuple[str, int] | None:
    """What a connection waits for, and a number that changes with each progress; None while the server works on it."""
    cycle, size = getattr(connection, "cycle", None), connection.transport.get_write_buffer_size()
    if size:
        return "writing", size
    if cycle is None or cycle.response_complete:
        return "idle", id(cycle)
    return None
