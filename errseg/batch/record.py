"""What was done with what: ``predict.json`` in the output folder, by which a run goes on where another ended."""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from errseg.api import Segmenter
from errseg.atomic import replacing
from errseg.config import as_data
from errseg.errors import UsageError, short
from errseg.evaluation.provenance import state_digest
from errseg.evaluation.settings import settings_of
from errseg.safe_files import read_bytes

from .places import RECORD, is_place, outputs
from .sources import Source

__all__ = ["Record", "request_of"]

SECONDS = 2.0  # between two writings of the record, or more where it is so long that writing it takes its time
MOST_BYTES = 1 << 30
PATHS = "surrogateescape"  # a path may be no UTF-8
Request = dict[str, Any]


def request_of(model: Segmenter, background: str | None, min_confidence: float) -> Request:
    """All that the outputs depend on, the inputs aside."""
    vocabulary = model.vocabulary
    return {
        "weights": state_digest(model.model.state_dict().items()),
        "names": [list(vocabulary.classes), list(vocabulary.prompts), list(vocabulary.prompt_classes)],
        "K": model.encoded.num_kept,
        "background": None if background is None else [background, min_confidence],
        "configuration": settings_of(as_data(model.cfg)),
    }


class Record:
    """The inputs that are done: place of the outputs, stamp of the input, formats, and the request."""

    def __init__(self, folder: Path, request: Request, every: int):
        """
        Args:
            folder: of the outputs.
            request: of this run.
            every: one frame of so many is taken of a video.

        Raises:
            UsageError: the folder has a file of that name that is no record.
        """
        self.folder = folder
        self.every = every
        self.request = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
        content = self._read()
        self.requests: dict[str, Request] = {**content["requests"], self.request: request}
        self.done: dict[str, dict[str, Any]] = content["done"]  # by the absolute path of the input
        self._next = 0.0

    def places(self) -> dict[str, str]:
        """The places of the outputs by the absolute path of the input."""
        return {key: entry["place"] for key, entry in self.done.items()}

    def is_done(self, source: Source, formats: Collection[str]) -> bool:
        """Whether the outputs of an input are there, of this request and in these formats."""
        entry = self.done.get(source.key)
        return (
            entry is not None
            and entry["request"] == self.request
            and entry["stamp"] == source.stamp(self.every)
            and set(formats) <= set(entry["formats"])
            and all((self.folder / path).exists() for path in outputs(entry["place"], source.is_video, formats))
        )

    def changes(self, sources: Sequence[Source]) -> dict[str, int]:
        """How many inputs were done with another request, by what differs: "names", "weights", …"""
        now, counts = self.requests[self.request], Counter()
        for source in sources:
            entry = self.done.get(source.key)
            if entry and entry["request"] != self.request:
                then = self.requests.get(entry["request"], {})
                counts[" and ".join(key for key in now if now[key] != then.get(key))] += 1
        return counts

    def forget(self, sources: Sequence[Source]) -> None:
        """Take out inputs that will be done anew, so that their old outputs never count as new ones."""
        for source in sources:
            self.done.pop(source.key, None)
        self.write()

    def add(self, source: Source, place: str, stamp: list[int], formats: Sequence[str]) -> None:
        """Note that an input is done; it is written now or soon."""
        self.done[source.key] = {
            "place": place,
            "stamp": stamp,
            "formats": list(formats),
            "request": self.request,
        }
        if time.monotonic() >= self._next:
            self.write()

    def write(self) -> None:
        """Write the record.

        Raises:
            UsageError: the disk does not take it.
        """
        start = time.monotonic()
        used = {self.request, *(entry["request"] for entry in self.done.values())}
        requests = {key: request for key, request in self.requests.items() if key in used}
        try:
            with replacing(self.folder / RECORD) as temporary:
                text = json.dumps({"requests": requests, "done": self.done}, indent=1, ensure_ascii=False)
                temporary.write_text(text, encoding="utf-8", errors=PATHS)
        except OSError as error:
            raise UsageError(f"--out {self.folder} cannot be written ({error}); make room, or give another.") from error
        self._next = time.monotonic() + max(SECONDS, 20 * (time.monotonic() - start))

    def _read(self) -> dict[str, Any]:
        path = self.folder / RECORD
        if not os.path.lexists(path):
            return {"requests": {}, "done": {}}
        try:
            content = json.loads(read_bytes(path, "record", MOST_BYTES).decode("utf-8", PATHS))
            wrong = _what_is_wrong(content)
        except (ValueError, RecursionError) as error:  # UsageError too
            wrong = short(error, 300)
        if wrong:
            raise UsageError(f"{path} is no record of ours ({wrong}); remove it, or give another --out.")
        return content


def _what_is_wrong(content: Any) -> str:
    """Why the content of a file is no record; empty for a record. Whoever wrote it, no output leaves the folder."""
    if not isinstance(content, dict):
        return "it holds no keys"
    requests, done = content.get("requests"), content.get("done")
    for key, value in (("requests", requests), ("done", done)):
        if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
            return f"its {key!r} is no object of objects"
    for key, entry in done.items():
        if not is_place(entry.get("place")):
            return f"the place of {short(key)} is {short(repr(entry.get('place')))}, no path in the folder"
        if not isinstance(entry.get("request"), str):
            return f"the request of {short(key)} is no text"
        for word, kind in (("stamp", int), ("formats", str)):
            values = entry.get(word)
            if not isinstance(values, list) or not all(isinstance(each, kind) for each in values):
                return f"the {word} of {short(key)} is no list as we write it"
    return ""
