"""Data sets that a YAML file describes. The path of the file can be used wherever a registered name can."""

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from errseg.config import MAX_PIXELS
from errseg.errors import UsageError

from .benchmarks import register_sem_seg
from .dataset_file import load_dataset_file
from .findings import Findings
from .labels import LabelReader
from .pair import look_at_pair
from .pairing import pair_files
from .parallel import default_workers, parallel_map
from .vocabularies import Vocabulary

__all__ = ["apply_dataset_option", "check_labels", "dataset_vocabulary", "is_dataset_file", "register_dataset_files"]

MAX_CLASSES_OF_8_BITS = 255  # 255 itself is the ignore label


def is_dataset_file(name: str) -> bool:
    """Whether a name of DATASETS.TRAIN or DATASETS.TEST is the path of a data-set file."""
    return name.lower().endswith((".yaml", ".yml"))


def register_dataset_files(names: Iterable[str]) -> None:
    """Register those names that are data-set files, under their paths as given, even if they are registered already.

    Every process calls it before it uses the names.

    Raises:
        UsageError: a file is missing, or something in it is wrong.
    """
    for name in names:
        if is_dataset_file(name):
            _register(name)


def dataset_vocabulary(name: str) -> Vocabulary | None:
    """The classes and prompts of a registered data set or a data-set file; None where the name is of neither.

    Raises:
        UsageError: the data-set file is missing, or something in it is wrong.
    """
    register_dataset_files([name])
    metadata = MetadataCatalog.get(name) if name in DatasetCatalog.list() else None
    classes = metadata.get("stuff_classes") if metadata else None
    if not classes:
        return None
    prompts, owners = metadata.get("prompts", classes), metadata.get("prompt_classes", range(len(classes)))
    return Vocabulary(tuple(classes), tuple(prompts), tuple(owners))


def apply_dataset_option(cfg: CfgNode, path: str, eval_only: bool, overrides: Sequence[str]) -> None:
    """Register a data-set file, and change ``cfg`` in place to train and evaluate on it.

    Args:
        cfg: a configuration that is not frozen.
        path: the data-set file.
        eval_only: leave DATASETS.TRAIN as it is.
        overrides: the KEY VALUE pairs that ``cfg`` already holds. In training, a DATASETS.TEST among them is kept. So
            is a MODEL.SEM_SEG_HEAD.IGNORE_VALUE; without it, this key becomes 65535 where 255 is a class.

    Raises:
        UsageError: the file is no data-set file, something in it is wrong, or an override names another data set.
    """
    if not is_dataset_file(path):
        raise UsageError(f"--dataset {path} is no data-set file; give one that ends in .yaml.")
    given = set(overrides[::2])
    replaced = "DATASETS.TEST" if eval_only else "DATASETS.TRAIN"
    if replaced in given:
        raise UsageError(f"--dataset and {replaced} are both given; keep one of them.")
    register_dataset_files([path])
    if not eval_only:
        cfg.DATASETS.TRAIN = (path,)
    if "DATASETS.TEST" not in given:
        cfg.DATASETS.TEST = (path,)
    head, num_classes = cfg.MODEL.SEM_SEG_HEAD, len(MetadataCatalog.get(path).stuff_classes)
    if num_classes > MAX_CLASSES_OF_8_BITS and "MODEL.SEM_SEG_HEAD.IGNORE_VALUE" not in given:
        head.IGNORE_VALUE = 65535


def check_labels(
    name: str, workers: int | None = None, sample: int | None = None, max_pixels: int = MAX_PIXELS
) -> None:
    """Read the labels of a registered data set; log suspicious findings, and the names that no label holds.

    Args:
        name: registered name.
        workers: processes that read; None: one for each CPU.
        sample: read only this many labels, evenly spaced, and log nothing about names; None: all.
        max_pixels: larger images and labels are refused.

    Raises:
        UsageError: a label or its image is missing or corrupt, they differ in size, a label holds an unknown id, no
            label holds a class, or one of the two values of binary masks is the ignore label.
    """
    metadata, records = MetadataCatalog.get(name), DatasetCatalog.get(name)
    if sample is not None and len(records) > sample:
        records = [records[index * len(records) // sample] for index in range(sample)]
    reader, logger = LabelReader(name), logging.getLogger(__name__)
    findings = Findings(reader, tuple(metadata.stuff_classes), sample is not None)
    workers = default_workers() if workers is None else workers
    look = partial(look_at_pair, reader, decode=False, max_pixels=max_pixels)
    for pair in parallel_map(look, records, workers, f"Labels of {Path(name).name}"):
        if pair.problem:
            raise UsageError(pair.problem)
        findings.add(pair)
    for error in findings.errors():
        raise UsageError(f"{name}: {error}")
    seen, names = findings.pixels > 0, metadata.stuff_classes
    if sample is None and not seen.any():
        raise UsageError(
            f"Every pixel of the {len(records)} labels of {name} is ignored, so there is nothing to learn or to score; "
            f"{reader.remedy}."
        )
    for warning in filter(None, (*findings.warnings(), findings.turned())):
        logger.warning("%s: %s", name, warning)
    if sample is not None:
        return
    never = [names[index] for index in np.flatnonzero(~seen)]
    logger.info("%s: %d labels, %d of %d names in them", name, len(records), seen.sum(), len(seen))
    if never:
        some = ", ".join(never[:10]) + (", …" if len(never) > 10 else "")
        logger.warning("%s: no label holds %d of %d names: %s", name, len(never), len(seen), some)


def _register(name: str) -> None:
    file = load_dataset_file(name)
    register_sem_seg(
        name,
        file.images,
        file.labels,
        file.vocabulary.classes,
        ignore_label=file.ignore_label,
        num_classes_test=file.num_classes_test,
        paper_name=Path(name).stem,
        prompts=file.vocabulary.prompts,
        prompt_classes=file.vocabulary.prompt_classes,
        remedy=f"correct {name}",
        label_map=file.label_map,
        unseen_classes=file.unseen_classes,
        list_files=partial(pair_files, name, file.images, file.labels, file.image_endings, file.label_endings),
    )
    keys = "names, ignore, values, label_offset or reduce_zero_label"
    MetadataCatalog.get(name).set(
        label_keys=file.label_keys, label_remedy=f"convert the label, or correct {keys} in {name}"
    )
