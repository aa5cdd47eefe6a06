"""The ledger of a batch job, ``predict.json``: its entries are inputs, and an input of another request is done anew.

The key of an entry is the absolute path of the input. An entry has the "place" of the outputs below the output folder,
the "stamp" of the input and the "formats" of the outputs.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from errseg.api import Segmenter
from errseg.config.settings import settings_of
from errseg.errors import short
from errseg.evaluation.provenance import state_digest
from errseg.ledger import Entry, Job, Ledger, Request

from .places import LEDGER, is_place, outputs
from .sources import Source

__all__ = ["JOB", "BatchLedger", "request_of"]

NAMED = 3  # settings of a message


def request_of(model: Segmenter, background: str | None, min_confidence: float) -> Request:
    """All that the outputs depend on, the inputs aside."""
    vocabulary = model.vocabulary
    return {
        "weights": state_digest(model.model.state_dict().items()),
        "names": [list(vocabulary.classes), list(vocabulary.prompts), list(vocabulary.prompt_classes)],
        "K": model.encoded.num_kept,
        "background": None if background is None else [background, min_confidence],
        "settings": settings_of(model.cfg),
    }


def _fault(key: str, entry: Entry) -> str:
    """Whoever wrote the ledger, no output leaves the folder."""
    if not is_place(entry.get("place")):
        return f"the place of {short(key)} is {short(repr(entry.get('place')))}, no path in the folder"
    for word, kind in (("stamp", int), ("formats", str)):
        values = entry.get(word)
        if not isinstance(values, list) or not all(isinstance(each, kind) for each in values):
            return f"the {word} of {short(key)} is no list of {'whole numbers' if kind is int else 'texts'}"
    return ""


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """The first format had its entries under "done", and the settings of a request under "configuration"."""
    requests = content.get("requests")
    if isinstance(requests, dict):
        new = {"configuration": "settings"}
        for key, request in requests.items():
            if isinstance(request, dict):
                requests[key] = {new.get(what, what): value for what, value in request.items()}
    return {"requests": requests, "entries": content.get("done")}


JOB = Job(LEDGER, "--out", _fault, _upgraded)


class BatchLedger(Ledger):
    """The inputs that are done, by their absolute paths."""

    def __init__(self, folder: Path, request: Request, every: int):
        """
        Args:
            folder: of the outputs.
            request: of this run.
            every: one frame of so many is taken of a video.

        Raises:
            UsageError: the folder has a file of that name that is no ledger.
        """
        super().__init__(folder, JOB, request)
        self.folder = folder
        self.every = every

    def places(self) -> dict[str, str]:
        """The places of the outputs by the absolute path of the input."""
        return {key: entry["place"] for key, entry in self.entries.items()}

    def is_done(self, source: Source, formats: Collection[str]) -> bool:
        """Whether the outputs of an input are there, of this request and in these formats."""
        if not self.is_current(source.key):
            return False
        entry = self.entries[source.key]
        return (
            entry["stamp"] == source.stamp(self.every)
            and set(formats) <= set(entry["formats"])
            and all((self.folder / path).exists() for path in outputs(entry["place"], source.is_video, formats))
        )

    def count_changes(self, sources: Sequence[Source]) -> dict[str, int]:
        """How many inputs were done with another request, by what differs: "names", "weights and TEST.FLIP", …"""
        counts = Counter()
        for source in sources:
            changed = list(self.changes(source.key))
            if len(changed) > NAMED:
                changed[NAMED:] = [f"{len(changed) - NAMED} more"]
            if changed:
                counts[" and ".join(changed)] += 1
        return counts

    def remove(self, sources: Sequence[Source]) -> None:
        """Take out inputs that will be done anew, so that their old outputs never count as new ones."""
        for source in sources:
            self.entries.pop(source.key, None)
        self.write()

    def add_source(self, source: Source, place: str, stamp: list[int], formats: Sequence[str]) -> None:
        """Note that an input is done; it is written now or soon."""
        self.add(source.key, {"place": place, "stamp": stamp, "formats": list(formats)})
        self.write_soon()
