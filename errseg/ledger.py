"""The ledger of a resumable job: a JSON file in the output folder that records what each output was made with.

::

    {"format": 2, "requests": {ID: REQUEST, …}, "entries": {KEY: ENTRY, …}}

A request holds everything that outputs depend on, except their inputs: "weights" (a digest), "settings" (see
:mod:`errseg.config.settings`), and what the job adds. An entry stands for one output: "request" (the ID of the request
that it was made with), and what the job adds. An output may be reused if its request does not differ from the current
one.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .atomic import replacing
from .config.settings import changed_settings, decides_predictions
from .errors import UsageError, short
from .locking import locked
from .safe_files import read_bytes

__all__ = ["Job", "Ledger", "in_words", "locked_outputs"]

FORMAT = 2
SECONDS = 2.0  # at least, between two writes; more for a ledger that takes long to write
MOST_BYTES = 1 << 30
DIGEST = 12  # characters of a digest in a message
PATHS = "surrogateescape"  # because a path need not be UTF-8

Content = dict[str, Any]
Request = dict[str, Any]
Entry = dict[str, Any]
Changes = dict[str, tuple[Any, Any]]  # what differs -> its value before and its value now


class Job(NamedTuple):
    """A kind of resumable job."""

    file: str  # the name of the ledger in the output folder
    option: str  # of the command line that gives the output folder, for messages
    fault: Callable[[str, Entry], str]  # a key and its entry -> why they are not of this job; "" where they are
    upgraded: Callable[[Content], Content]  # content of the first format, without the key "format" -> today's format


class Ledger:
    """The ledger of one output folder.

    Attributes:
        exists: whether the folder had one.
        requests: by ID.
        entries: by key.
    """

    def __init__(self, folder: str | Path, job: Job, request: Request | None = None):
        """
        Args:
            folder: of the outputs.
            job: the kind of the job.
            request: the current request; None: the ledger is only read.

        Raises:
            UsageError: the folder has a file of the ledger's name that is no ledger of this job.
        """
        self.path = Path(folder) / job.file
        self.job = job
        self.exists = os.path.lexists(self.path)
        content = self._read() if self.exists else {"requests": {}, "entries": {}}
        self.requests: dict[str, Request] = content["requests"]
        self.entries: dict[str, Entry] = content["entries"]
        self._request = ""  # the ID of the current request
        self._changes: dict[str, Changes] = {}  # between each other request, by ID, and the current one
        self._next = 0.0  # time of the next write
        if request is not None:
            self._set_request(request)

    @property
    def request_id(self) -> str:
        """The ID of the current request; "" where the ledger is only read."""
        return self._request

    def is_current(self, key: str) -> bool:
        """Whether there is an entry that was made with the current request."""
        return key in self.entries and self.entries[key]["request"] == self._request

    def changes(self, key: str) -> Changes:
        """What differs between the request of an entry and the current one; empty where there is no such entry."""
        return self._changes.get(self.entries[key]["request"], {}) if key in self.entries else {}

    def add(self, key: str, entry: Entry) -> None:
        """Record, in memory, what was made with the current request."""
        self.entries[key] = {**entry, "request": self._request}

    def write_soon(self) -> None:
        """Write the ledger, unless it was written a moment ago; ``write`` has to follow at the end of the job."""
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        """Write the ledger; the file on disk is complete at any time.

        Raises:
            UsageError: it cannot be written.
        """
        start = time.monotonic()
        used = {self._request, *(entry["request"] for entry in self.entries.values())}
        requests = {key: request for key, request in self.requests.items() if key in used}
        content = {"format": FORMAT, "requests": requests, "entries": self.entries}
        try:
            with replacing(self.path) as temporary:
                text = json.dumps(content, indent=1, ensure_ascii=False)
                temporary.write_text(text + "\n", encoding="utf-8", errors=PATHS)
        except OSError as error:
            raise _unwritable(self.path.parent, self.job.option, error) from error
        self._next = time.monotonic() + max(SECONDS, 20 * (time.monotonic() - start))

    def _set_request(self, request: Request) -> None:
        """Add the current request; it replaces those that do not differ from it."""
        self._request = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
        earlier = self.requests
        self.requests, names = {self._request: request}, {}
        for key in sorted(earlier.keys() | {entry["request"] for entry in self.entries.values()}):
            changes = _changes(earlier.get(key, {}), request)
            names[key] = (f"{key}*" if key == self._request else key) if changes else self._request
            if changes:  # the star marks a request of the same ID that somebody has edited
                self._changes[names[key]] = changes
                self.requests[names[key]] = earlier.get(key, {})
        for entry in self.entries.values():
            entry["request"] = names[entry["request"]]

    def _read(self) -> Content:
        remedy = f"remove it, or give another {self.job.option}"
        try:
            content = json.loads(read_bytes(self.path, "ledger", MOST_BYTES).decode("utf-8", PATHS))
            is_first_format = isinstance(content, dict) and "format" not in content
            if is_first_format:
                content = self.job.upgraded(content)
            wrong = self._fault(content) or (is_first_format and _unnoted(content["requests"]))
        except (ValueError, RecursionError) as error:  # UsageError too
            wrong = short(error, 300).rstrip(".")
        if wrong:
            raise UsageError(f"{self.path} is no ledger of this version of errseg ({wrong}); {remedy}.")
        return content

    def _fault(self, content: Any) -> str:
        """Why the content of a file is no ledger of this job; "" where it is one."""
        if not isinstance(content, dict):
            return "it holds no keys"
        if content.get("format", FORMAT) != FORMAT:
            return f"its format is {short(repr(content['format']))}, not {FORMAT}"
        for key in ("requests", "entries"):
            value = content.get(key)
            if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
                return f"its {key!r} is no object of objects"
        for key, request in content["requests"].items():
            if not isinstance(request.get("weights", ""), str) or not isinstance(request.get("settings", {}), dict):
                return f"the weights or the settings of the request {short(key)} are of another type"
        for key, entry in content["entries"].items():
            if not isinstance(entry.get("request"), str):
                return f"the request of {short(key)} is no text"
            wrong = self.job.fault(key, entry)
            if wrong:
                return wrong
        return ""


@contextmanager
def locked_outputs(job: Job, folder: str | Path) -> Iterator[None]:
    """Keep other processes out of a job's output folder within the context.

    Raises:
        UsageError: another run is at work there, or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder, job.option))
        except OSError as error:
            raise _unwritable(folder, job.option, error) from error
        yield


def _unnoted(requests: dict[str, Request]) -> str:
    """Why requests of the first format cannot be compared; "" where they can. It recorded only ERR-Seg's settings."""
    for request in requests.values():
        system = request.get("settings", {}).get("MODEL.META_ARCHITECTURE", "ERRSeg")
        if system != "ERRSeg":
            return f"an earlier version wrote it, and noted only a part of the settings of {short(system)}"
    return ""


def in_words(changes: Changes) -> str:
    """Changes as a clause of a message: what differs, with both values."""
    said = []
    for what, (before, now) in changes.items():
        if what == "weights":
            before, now = str(before)[:DIGEST], str(now)[:DIGEST]
        else:
            before, now = short(repr(before)), short(repr(now))
        said.append(f"{what} {before}, now {now}")
    return "; ".join(said)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    """What differs between two requests, the settings key by key."""
    others = [what for what in {**now, **before} if what != "settings" or ("settings" in before) != ("settings" in now)]
    found = {what: (before.get(what), now.get(what)) for what in others if before.get(what) != now.get(what)}
    if "settings" not in found:
        settings = ({k: v for k, v in x.get("settings", {}).items() if decides_predictions(k)} for x in (before, now))
        found |= changed_settings(*settings)
    return {what if what.isprintable() else short(repr(what)): values for what, values in found.items()}


def _unwritable(folder: str | Path, option: str, error: OSError) -> UsageError:
    return UsageError(f"{option} {folder} cannot be written ({error}); make room, or give another folder.")
