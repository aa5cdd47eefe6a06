"""The ledger of a batch job, ``predict.json``. Its entries are inputs; an input of another request is done again.

The key of an entry is the absolute path of the input. An entry has the "place" of the outputs (their path below the
output folder, without the ending), the "stamp" of the input and the "formats" of the outputs. An entry with a row in a
file of run-length masks also has the "part", the name of that file.
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
from errseg.modeling.num_kept import as_plain

from .places import LEDGER, is_place, outputs
from .sources import Source

__all__ = ["JOB", "PARQUET", "BatchLedger", "request_of"]

NAMED = 3  # settings that a message names


def request_of(model: Segmenter, background: str | None, min_confidence: float) -> Request:
    """Everything on which the outputs depend, apart from the inputs."""
    vocabulary = model.vocabulary
    return {
        "weights": state_digest(model.model.state_dict().items()),
        "names": [list(vocabulary.classes), list(vocabulary.prompts), list(vocabulary.prompt_classes)],
        "K": as_plain(model.encoded.num_kept),
        "background": None if background is None else [background, min_confidence],
        "settings": settings_of(model.cfg),
    }


PARQUET = "parquet"  # the format of run-length masks of all pictures, see cluster/masks.py


def _fault(key: str, entry: Entry) -> str:
    """What is wrong with an entry; "" if nothing is. A ledger may be forged: a place must lie in the output folder."""
    if not is_place(entry.get("place")):
        return f"the place of {short(key)} is {short(repr(entry.get('place')))}, no path in the folder"
    for word, kind in (("stamp", int), ("formats", str)):
        values = entry.get(word)
        if not isinstance(values, list) or not all(isinstance(each, kind) for each in values):
            return f"the {word} of {short(key)} is no list of {'whole numbers' if kind is int else 'texts'}"
    if not isinstance(entry.get("part", ""), str):  # of masks, see cluster/masks.py
        return f"the part of {short(key)} is no text"
    return ""


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a ledger of the first format: entries under "done", settings under "configuration"."""
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
            folder: the folder of the outputs.
            request: the request of this run.
            every: of a video, every ``every``-th frame is segmented.

        Raises:
            UsageError: the folder has a file of the ledger's name that is no ledger.
        """
        super().__init__(folder, JOB, request)
        self.folder = folder
        self.every = every

    def places(self) -> dict[str, str]:
        """The places of the outputs by the absolute path of the input."""
        return {key: entry["place"] for key, entry in self.entries.items()}

    def is_done(self, source: Source, formats: Collection[str]) -> bool:
        """Whether the outputs of an input exist, for this request and in these formats."""
        return self.holds(source.key, source.stamp(self.every), formats) and all(
            (self.folder / path).exists()
            for path in outputs(self.entries[source.key]["place"], source.is_video, formats)
        )

    def holds(self, key: str, stamp: list[int], formats: Collection[str]) -> bool:
        """Whether an entry says that an input of this stamp is done, for this request and in these formats."""
        return (
            self.is_current(key)
            and self.entries[key]["stamp"] == stamp
            and set(formats) <= set(self.entries[key]["formats"])
        )

    def count_changes(self, sources: Sequence[Source]) -> dict[str, int]:
        """The number of inputs that were done with another request, by the difference: "weights and TEST.FLIP", …"""
        counts = Counter()
        for source in sources:
            changed = list(self.changes(source.key))
            if "names" in changed and "K" in changed:
                changed.remove("K")  # it follows from the number of names, or there is none
            if len(changed) > NAMED:
                changed[NAMED:] = [f"{len(changed) - NAMED} more"]
            if changed:
                counts[" and ".join(changed)] += 1
        return counts

    def remove(self, sources: Sequence[Source], masks: bool) -> None:
        """Remove the entries of inputs that will be done again, so that their old outputs never count as new ones.

        Args:
            sources: the inputs.
            masks: whether the rows in files of masks are made again too; else those of the current request stay.
        """
        for source in sources:
            entry = self.entries.pop(source.key, {})
            if not masks and "part" in entry and entry["request"] == self.request_id:
                self.entries[source.key] = {**entry, "formats": [PARQUET]}
        self.write()

    def add_source(self, source: Source, place: str, stamp: list[int], formats: Sequence[str]) -> None:
        """Add the entry of an input that is done. The ledger is written now or soon."""
        self.add_done(source.key, {"place": place, "stamp": stamp, "formats": list(formats)})

    def add_done(self, key: str, entry: Entry) -> None:
        """Add the entry of an input. Its row in a file of masks, made with the current request before, stays."""
        earlier = self.entries[key] if self.is_current(key) else {}
        if "part" in earlier and "part" not in entry and earlier["stamp"] == entry["stamp"]:
            entry = {**entry, "part": earlier["part"], "formats": [*entry["formats"], PARQUET]}
        self.add(key, entry)
        self.write_soon()
