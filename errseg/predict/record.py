"""What was done with what: ``predict.json`` in the output folder, by which a run goes on where another ended."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from errseg.api import Segmenter
from errseg.atomic import replacing
from errseg.config import as_data
from errseg.errors import UsageError
from errseg.evaluation.provenance import state_digest
from errseg.evaluation.settings import settings_of

from .places import RECORD, outputs
from .sources import Source

__all__ = ["Record", "request_of"]

SECONDS = 2.0  # between two writings of the record, or more where it is so long that writing it takes its time
PATHS = "surrogateescape"  # a path may be no UTF-8
Request = dict[str, Any]


def request_of(model: Segmenter, background: str | None, min_confidence: float) -> Request:
    """All that the outputs depend on, the inputs aside."""
    vocabulary = model.vocabulary
    return {
        "weights": state_digest(model.model.state_dict().items()),
        "names": [list(vocabulary.classes), list(vocabulary.prompts), list(vocabulary.prompt_classes)],
        "K": model.encoded.vocabulary.num_classes,
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
        if not path.exists():
            return {"requests": {}, "done": {}}
        try:
            content = json.loads(path.read_text(encoding="utf-8", errors=PATHS))
            for entry in content["done"].values():
                if not entry.keys() >= {"place", "stamp", "formats", "request"}:
                    raise ValueError("an entry lacks a key")
            content["requests"].items()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise UsageError(f"{path} is no record of ours ({reason}); remove it, or give another --out.") from error
        return content
