"""Regions: the pixels of one class in one image, as samples of a system that classifies.

The regions of a data set are found by one scan of its label files. OUTPUT_DIR keeps the result, and a later run uses it
if the files are the same.
"""

import hashlib
import logging
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog, get_detection_dataset_dicts
from detectron2.utils import comm

from errseg.atomic import replacing
from errseg.errors import UsageError
from errseg.safe_files import read_json

from .labels import LabelReader
from .parallel import default_workers, parallel_map

__all__ = ["classes_of_labels", "draw_regions", "region_records"]

FORMAT = 1  # of the file of a scan
FEW = 16  # labels: no process is started for fewer
MAX_BYTES = 1 << 30  # of the file of a scan

Record = dict[str, Any]
logger = logging.getLogger(__name__)


def region_records(cfg: CfgNode, names: Sequence[str], is_train: bool = True) -> list[Record]:
    """The regions of data sets: the records of their images, each with a ``class_id``, once for each of its classes.

    In training they are drawn, at most DATASETS.REGIONS_PER_CLASS of a class; see :func:`draw_regions`. Every process
    of a run calls this together; one of them scans the labels.

    Args:
        cfg: the configuration; OUTPUT_DIR keeps the scan.
        names: registered data sets that share their classes.
        is_train: draw regions; otherwise all of them, in the order of the images.

    Raises:
        UsageError: a label is missing or invalid, or no label holds a class.
    """
    found: list[Record] = []
    for name in names:
        records = get_detection_dataset_dicts([name], filter_empty=False)
        classes = _shared_scan(cfg, name, records)
        found += [{**record, "class_id": i} for record, ids in zip(records, classes, strict=True) for i in ids]
    if not found:
        raise UsageError(f"Every pixel of the labels of {', '.join(names)} is ignored, so they hold no region.")
    if is_train:
        found = draw_regions(found, cfg.DATASETS.REGIONS_PER_CLASS, cfg.DATASETS.REGIONS_SEED)
    total = len(MetadataCatalog.get(names[0]).stuff_classes)
    present = len({record["class_id"] for record in found})
    logger.info("%s: %d regions of %d of %d classes", ", ".join(names), len(found), present, total)
    return found


def draw_regions(records: Sequence[Record], per_class: int, seed: int = 0) -> list[Record]:
    """Draw regions, once, by class: section 8 of DeOP's contract.

    Args:
        records: all regions, each with ``class_id``.
        per_class: a class that has at least as many regions gets this many, drawn with replacement; another class keeps
            each of its own. 0: every class keeps all.
        seed: of the draw. The result depends on nothing else.

    Returns:
        The regions in the order of their classes.
    """
    by_class: dict[int, list[Record]] = {}
    for record in records:
        by_class.setdefault(record["class_id"], []).append(record)
    random, drawn = np.random.default_rng(seed), []
    for _, own in sorted(by_class.items()):
        draws = 0 < per_class <= len(own)
        drawn += [own[i] for i in random.integers(0, len(own), per_class)] if draws else own
    return drawn


def classes_of_labels(records: Sequence[Record], reader: LabelReader, title: str, max_pixels: int) -> list[list[int]]:
    """The classes in each label file, ascending, without ignored pixels; a progress bar shows the scan.

    Args:
        records: have ``file_name`` and ``sem_seg_file_name``.
        reader: reads the labels.
        title: of the progress bar.
        max_pixels: larger labels are refused.

    Raises:
        UsageError: a label is missing or corrupt, or holds an unknown id.
    """
    workers = min(default_workers(), len(records) // FEW)
    return list(parallel_map(partial(_classes_in, reader, max_pixels), records, workers, title, log_bar=True))


def _classes_in(reader: LabelReader, max_pixels: int, record: Record) -> list[int]:
    path = record["sem_seg_file_name"]
    ids = np.unique(reader.read(path, record["file_name"], max_pixels))  # few: only these are mapped to classes
    return [i for i in np.unique(reader.to_classes(ids[None], path)).tolist() if i != reader.ignore_label]


# ---- one scan for all processes of a run, and for later runs ----


def _shared_scan(cfg: CfgNode, name: str, records: Sequence[Record]) -> list[list[int]]:
    """The classes in each label. The main process finds them; a mistake in the data ends every process."""
    outcome: Any = None
    if comm.is_main_process():
        try:
            outcome = _scan(cfg, name, records)
        except UsageError as error:
            outcome = UsageError(str(error))  # of arguments that every process can unpack
    outcome = comm.all_gather(outcome)[0]
    if isinstance(outcome, UsageError):
        raise outcome
    return outcome


def _scan(cfg: CfgNode, name: str, records: Sequence[Record]) -> list[list[int]]:
    """The classes in each label, from the file of an earlier scan where that was of the same labels."""
    reader, title = LabelReader(name), MetadataCatalog.get(name).get("paper_name", name)
    path = Path(cfg.OUTPUT_DIR) / "regions" / (re.sub(r"[^\w.+-]+", "_", name).strip("_.") + ".json")
    digest = _digest(records, reader)
    known = _read(path, digest, len(records), reader.num_classes)
    if known is not None:
        logger.info("%s: the classes in %d labels are known from %s", title, len(records), path)
        return known
    classes = classes_of_labels(records, reader, f"Regions of {title}", cfg.INPUT.MAX_PIXELS)
    with replacing(path) as temporary:
        text = ",\n".join(map(str, classes))  # a line for each label
        temporary.write_text(f'{{"format": {FORMAT}, "labels": "{digest}", "classes": [\n{text}\n]}}\n', "utf-8")
    return classes


def _digest(records: Sequence[Record], reader: LabelReader) -> str:
    """SHA-256 of what the result of a scan depends on: the labels' paths, sizes and times, and how they are read.

    Raises:
        UsageError: a label is missing.
    """
    label_map = sorted((reader.label_map or {}).items())
    colors = sorted((reader.colors or {}).items())
    digest = hashlib.sha256(repr((reader.num_classes, reader.ignore_label, label_map, colors)).encode())
    for record in records:
        path = record["sem_seg_file_name"]
        try:
            state = os.stat(path)
        except OSError as error:
            raise UsageError(f"The label {path} cannot be read ({error.strerror}); restore it.") from error
        digest.update(f"{path}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _read(path: Path, digest: str, count: int, num_classes: int) -> list[list[int]] | None:
    """The result of an earlier scan; None where there is none of these labels."""
    if not path.exists():
        return None
    try:
        content = read_json(path, "list of regions", MAX_BYTES)
    except UsageError as error:
        logger.warning("%s The labels are scanned again.", error)
        return None
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("labels") != digest:
        return None
    classes, known = content.get("classes"), range(num_classes)
    is_whole = isinstance(classes, list) and len(classes) == count
    if is_whole and all(isinstance(ids, list) and all(type(i) is int and i in known for i in ids) for ids in classes):
        return classes
    logger.warning("%s is damaged. The labels are scanned again.", path)
    return None
