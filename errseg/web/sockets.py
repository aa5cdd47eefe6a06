"""Connections that stand still: those that bring no request, and those whose other end does not read.

uvicorn waits for both without end; a gate behind it sees neither.
"""

import time
import weakref
from typing import Any

__all__ = ["Sockets"]

IDLE = 20  # seconds until a request has arrived with its headers
STALLED = 20  # seconds in which the other end reads something
HURRIED = 3  # as STALLED, where much is waiting
MUCH = 16 << 20  # bytes of all connections


class Sockets:
    """Cuts the connections of a uvicorn server that stand still."""

    def __init__(self, server: Any):
        """
        Args:
            server: of uvicorn, running.
        """
        self._connections = server.server_state.connections
        self._since: weakref.WeakKeyDictionary[Any, tuple[Any, float]] = weakref.WeakKeyDictionary()

    def cut(self) -> None:
        """Look at each connection; to be called in the server's thread, every second or so."""
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
    """What a connection waits for, and a number that changes with each progress; None where it is the server's turn."""
    cycle, size = getattr(connection, "cycle", None), connection.transport.get_write_buffer_size()
    if size:
        return "writing", size
    if cycle is None or cycle.response_complete:
        return "idle", id(cycle)
    return None
