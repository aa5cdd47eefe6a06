"""The ledger of a folder of saved predictions. Its entries are data sets; one model has predicted all of them.

An entry has the name of the "dataset", a digest of its "vocabulary", and a digest of its "images". The digest of the
images is None unless a file describes the data set: only files can share a stem, and so a folder.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from errseg.config import get_cfg
from errseg.data.custom import is_dataset_file
from errseg.errors import UsageError, short
from errseg.ledger import Entry, Job, Ledger, Request, in_words
from errseg.locking import LOCK
from errseg.modeling import system_of

from .predictions import MANIFEST, folder_of, label_ids, place_of_image

__all__ = ["JOB", "claim", "entry_of", "saved_sets"]

OPTION = "--save-predictions"


def _fault(key: str, entry: Entry) -> str:
    if not isinstance(entry.get("vocabulary"), str):
        return f"the vocabulary of {short(key)} is no digest"
    return ""


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a ledger of the first format, which had one request, and the data sets under "sets"."""
    if not {"weights", "settings", "sets"} <= content.keys():
        raise ValueError("it lacks weights, settings or sets")
    sets = content["sets"]
    if isinstance(sets, dict):
        sets = {key: {**entry, "request": "1"} if isinstance(entry, dict) else entry for key, entry in sets.items()}
    return {"requests": {"1": {key: content[key] for key in ("weights", "settings")}}, "entries": sets}


JOB = Job(MANIFEST, OPTION, _fault, _upgraded)


def entry_of(dataset_name: str) -> Entry:
    """The entry of a registered data set."""
    metadata = MetadataCatalog.get(dataset_name)
    classes = metadata.stuff_classes
    asked = [metadata.get("prompts", classes), metadata.get("prompt_classes", list(range(len(classes))))]
    # K by the default configuration: MODEL.CRM.NUM_CLASSES_TEST is one of the settings of the request
    cfg = get_cfg()
    num_kept = system_of(cfg).num_kept(cfg, len(asked[0]), metadata.get("num_classes_test"))
    content = json.dumps([asked, label_ids(dataset_name), num_kept])
    images = _images_digest(dataset_name) if is_dataset_file(dataset_name) else None
    return {"dataset": dataset_name, "vocabulary": hashlib.sha256(content.encode()).hexdigest(), "images": images}


def claim(folder: str | Path, request: Request, names: Sequence[str]) -> Ledger:
    """The ledger of a folder, with the entries of some data sets added; it is not written yet.

    Args:
        folder: the folder of the predictions.
        request: the weights and the settings of the model.
        names: registered data sets.

    Raises:
        UsageError: the folder holds other files, or predictions of another model or data set; or two data sets would
            share a folder.
    """
    entries = {folder_of(name): entry_of(name) for name in names}
    if len(entries) < len(names):
        raise UsageError(
            f"Two of the data sets {', '.join(names)} would save their predictions in one folder, since their files "
            "have the same stem; rename one, or save them into two folders."
        )
    path = Path(folder)
    if path.exists() and not path.is_dir():
        raise UsageError(f"{OPTION} {folder} is a file; name a folder.")
    ledger = Ledger(folder, JOB, request)
    if not ledger.exists and path.is_dir() and any(each.name != LOCK for each in path.iterdir()):
        raise UsageError(
            f"{OPTION} {folder} holds files but no {MANIFEST}, so it is unknown which model predicted them; name an "
            "empty folder, or a new one."
        )
    differences = list(dict.fromkeys(in_words(ledger.changes(key)) for key in ledger.entries if ledger.changes(key)))
    for key in sorted(ledger.entries.keys() & entries.keys()):
        if ledger.entries[key]["vocabulary"] != entries[key]["vocabulary"]:
            differences.append(f"another vocabulary, K or label map of {key}")
        if ledger.entries[key].get("images") != entries[key]["images"]:
            differences.append(f"other images of {key}")
    if differences:
        raise UsageError(
            f"{OPTION} {folder} holds the predictions of another model or data set ({'; '.join(differences)}); name "
            "another folder, or delete this one."
        )
    for key, entry in entries.items():
        ledger.add(key, entry)
    return ledger


def saved_sets(folder: str | Path) -> dict[str, Entry]:
    """The entries of a folder of predictions, by the sub-folder of the data set.

    Raises:
        UsageError: the folder has no ledger, or a damaged one.
    """
    ledger = Ledger(folder, JOB)
    if not ledger.exists:
        raise UsageError(f"{folder} has no {MANIFEST}; name a folder that {OPTION} has written.")
    return ledger.entries


def _images_digest(dataset_name: str) -> str:
    """SHA-256 of the relative paths and the sizes in bytes of a data set's images; its root folder does not count."""
    root = Path(MetadataCatalog.get(dataset_name).get("image_root", ""))
    images = sorted(
        (place_of_image(record, root).as_posix(), Path(record["file_name"]).stat().st_size)
        for record in DatasetCatalog.get(dataset_name)
    )
    return hashlib.sha256(json.dumps(images).encode()).hexdigest()
