"""The data sets of the paper: one table of rows, and one loop that registers them.

Paths are in the converted layout that this field's codebases share, relative to ``$DETECTRON2_DATASETS`` (default
``datasets``). Registration reads nothing from disk; the files are listed when a list of images is requested.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from detectron2.data import DatasetCatalog, MetadataCatalog

from errseg.errors import UsageError

from .vocabularies import held_out_classes, load_vocabulary

__all__ = ["BENCHMARKS", "Benchmark", "register_all", "register_sem_seg", "require_dataset"]

REMEDY = "prepare the data set there, or set DETECTRON2_DATASETS to the directory that holds it"


class Benchmark(NamedTuple):
    """A row of the table."""

    name: str  # registered name
    paper_name: str
    vocabulary: str  # a file of errseg/data/vocabularies
    image_root: str
    sem_seg_root: str
    domain: str  # "in" or "out", by the division in IV-A3 (Table IV); "": the paper does not assign the set
    num_images: int  # image and label pairs of the whole set
    sem_seg_ext: str = "png"
    ignore_label: int = 255
    num_kept: int | None = None  # K, for systems that select names; None: the system's own choice
    trained_on: str = ""  # the vocabulary of the split's training, on the same label files; "": the set has no split


# ERR-Seg's paper gives no K for COCO-Stuff, because it only trains on it: this K is that of training. VOC with
# background has the domain of VOC without background.
# Zero-shot splits: training ignores some classes and does not use their names. The rows with 156 and 15 classes read
# the same label files as the rows with 171 and 20 classes, and map them to other ids. A test row whose name ends in
# "unseen" has all names, and the scores of the seen and of the unseen classes; a model that was trained on the unseen
# ones is evaluated on the row with all names. The test row with 156 classes leaves out the other 15.
# Rows with another list of names read the same files as well.
_COCO, _VOC10, _VOC12 = "coco-stuff", "VOCdevkit/VOC2010", "VOCdevkit/VOC2012"
_A150, _A847 = "ADEChallengeData2016", "ADE20K_2021_17_01"
# fmt: off
BENCHMARKS = (
    Benchmark("coco_2017_train_stuff_all_sem_seg", "COCO-Stuff train", "coco_stuff_171",
              f"{_COCO}/images/train2017", f"{_COCO}/annotations_detectron2/train2017", "", 118287, num_kept=32),
    Benchmark("coco_2017_test_stuff_all_sem_seg", "COCO-Stuff", "coco_stuff_171",
              f"{_COCO}/images/val2017", f"{_COCO}/annotations_detectron2/val2017", "", 5000, num_kept=32),
    Benchmark("coco_2017_train_stuff_156_sem_seg", "COCO-Stuff-156 train", "coco_stuff_156",
              f"{_COCO}/images/train2017", f"{_COCO}/annotations_detectron2/train2017", "", 118287, num_kept=32),
    Benchmark("coco_2017_test_stuff_156_sem_seg", "COCO-Stuff-156", "coco_stuff_156",
              f"{_COCO}/images/val2017", f"{_COCO}/annotations_detectron2/val2017", "", 5000, num_kept=32),
    Benchmark("coco_2017_test_stuff_15_unseen_sem_seg", "COCO-Stuff 156/15", "coco_stuff_171",
              f"{_COCO}/images/val2017", f"{_COCO}/annotations_detectron2/val2017", "", 5000, num_kept=32,
              trained_on="coco_stuff_156"),
    Benchmark("ade20k_full_sem_seg_freq_val_all", "A-847", "ade20k_847",
              f"{_A847}/images_detectron2/validation", f"{_A847}/annotations_detectron2/validation",
              "out", 2000, "tif", 65535),
    Benchmark("context_459_test_sem_seg", "PC-459", "pascal_context_459",
              f"{_VOC10}/JPEGImages", f"{_VOC10}/annotations_detectron2/pc459_val", "out", 5104, "tif", 459),
    Benchmark("ade20k_150_test_sem_seg", "A-150", "ade20k_150",
              f"{_A150}/images/validation", f"{_A150}/annotations_detectron2/validation", "out", 2000),
    Benchmark("context_59_test_sem_seg", "PC-59", "pascal_context_59",
              f"{_VOC10}/JPEGImages", f"{_VOC10}/annotations_detectron2/pc59_val", "in", 5104),
    Benchmark("voc_2012_test_sem_seg", "PAS-20", "voc_20",
              f"{_VOC12}/JPEGImages", f"{_VOC12}/annotations_detectron2/val", "in", 1449),
    Benchmark("voc_2012_test_background_sem_seg", "PAS-20b", "voc_21",
              f"{_VOC12}/JPEGImages", f"{_VOC12}/annotations_detectron2_bg/val", "in", 1449),
    Benchmark("voc_2012_train_15_sem_seg", "VOC-15 train", "voc_15",
              f"{_VOC12}/JPEGImages", f"{_VOC12}/annotations_detectron2/train", "", 10582),
    Benchmark("voc_2012_test_5_unseen_sem_seg", "VOC 15/5", "voc_20",
              f"{_VOC12}/JPEGImages", f"{_VOC12}/annotations_detectron2/val", "", 1449, trained_on="voc_15"),
    Benchmark("ade20k_150_test_detectron2_names_sem_seg", "A-150, Detectron2's names", "ade20k_150_detectron2",
              f"{_A150}/images/validation", f"{_A150}/annotations_detectron2/validation", "out", 2000),
    Benchmark("context_459_test_blanks_sem_seg", "PC-459, names with blanks", "pascal_context_459_blanks",
              f"{_VOC10}/JPEGImages", f"{_VOC10}/annotations_detectron2/pc459_val", "out", 5104, "tif", 459),
)
# fmt: on


def register_all(root: str | Path | None = None) -> None:
    """Register every row of the table.

    Args:
        root: the folder that the paths are relative to; None: ``$DETECTRON2_DATASETS``, or ``datasets``.
    """
    root = Path(root or os.environ.get("DETECTRON2_DATASETS") or "datasets").expanduser()
    for row in BENCHMARKS:
        vocabulary = load_vocabulary(row.vocabulary)
        register_sem_seg(
            row.name,
            root / row.image_root,
            root / row.sem_seg_root,
            vocabulary.classes,
            sem_seg_ext=row.sem_seg_ext,
            ignore_label=row.ignore_label,
            num_classes_test=row.num_kept,
            paper_name=row.paper_name,
            prompts=vocabulary.prompts,
            prompt_classes=vocabulary.prompt_classes,
            label_map=vocabulary.label_map(row.ignore_label),
            domain=row.domain,
            num_images=row.num_images,
            unseen_classes=held_out_classes(row.trained_on) if row.trained_on else (),
        )


def register_sem_seg(
    name: str,
    image_root: str | Path,
    sem_seg_root: str | Path,
    classes: Sequence[str],
    *,
    image_ext: str = "jpg",
    sem_seg_ext: str = "png",
    ignore_label: int = 255,
    num_classes_test: int | None = 0,
    paper_name: str | None = None,
    prompts: Sequence[str] | None = None,
    prompt_classes: Sequence[int] | None = None,
    remedy: str = REMEDY,
    label_map: Mapping[int, int] | None = None,
    domain: str = "",
    num_images: int | None = None,
    unseen_classes: Sequence[int] = (),
    list_files: Callable[[], list[dict[str, str]]] | None = None,
) -> None:
    """Register a data set in Detectron2's catalogues, replacing one of the same name.

    Args:
        name: registered name.
        image_root: directory of the images.
        sem_seg_root: directory of the labels; an image without a label is left out.
        classes: names of the label ids 0, 1, …
        image_ext: extension of the images, without its dot.
        sem_seg_ext: extension of the labels, without its dot.
        ignore_label: label id of the pixels that do not count, after ``label_map``.
        num_classes_test: K, for systems that select names; 0: all; None: the system's own choice.
        paper_name: name in tables of results; None: ``name``.
        prompts: the prompts that the model gets; None: ``classes``.
        prompt_classes: class of each prompt.
        remedy: what to do when the data set is missing, as the end of a sentence.
        label_map: id in the files to class id or ``ignore_label``; any other id is an error. None: the files hold
            class ids.
        domain: ``in`` or ``out`` of the training set's domain (IV-A3), or empty.
        num_images: images of the whole data set; None: not known.
        unseen_classes: ids of the classes that training does not use, in a test set of a zero-shot split; (): no split.
        list_files: returns the records, each with ``file_name`` and ``sem_seg_file_name``. None: the files in
            ``image_root`` and ``sem_seg_root`` themselves are paired by their stems.
    """
    if name in DatasetCatalog.list():
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, list_files or (lambda: _list_pairs(name, image_ext, sem_seg_ext)))
    MetadataCatalog.get(name).set(
        image_root=str(image_root),
        sem_seg_root=str(sem_seg_root),
        evaluator_type="sem_seg",
        ignore_label=ignore_label,
        stuff_classes=list(classes),
        num_classes_test=num_classes_test,
        paper_name=paper_name or name,
        prompts=list(prompts or classes),
        prompt_classes=list(prompt_classes or range(len(classes))),
        remedy=remedy,
        label_map=dict(label_map) if label_map else None,
        domain=domain,
        num_images=num_images,
        unseen_classes=sorted(unseen_classes),
    )


def require_dataset(name: str, key: str = "") -> None:
    """Check that a data set is registered and its directories exist, without listing them.

    Args:
        name: registered name.
        key: the configuration key that names it; "": none does.

    Raises:
        UsageError: it is not registered, or a directory is missing.
    """
    if name not in DatasetCatalog.list():
        ours = ", ".join(n for n in DatasetCatalog.list() if MetadataCatalog.get(n).get("prompts"))
        named = f"{key} names {name!r}, which" if key else f"{name!r}"
        raise UsageError(f"{named} is not registered; there are {ours}.")
    metadata = MetadataCatalog.get(name)
    for directory in (metadata.get("image_root"), metadata.get("sem_seg_root")):
        if directory and not Path(directory).is_dir():
            root = os.environ.get("DETECTRON2_DATASETS")
            state = f"DETECTRON2_DATASETS is {root!r}" if root else "DETECTRON2_DATASETS is not set"
            wanted, change = (f" of {key}", f", or change {key}") if key else ("", "")
            raise UsageError(
                f"The data set {name}{wanted} is missing: there is no directory {Path(directory).absolute()} "
                f"({state}); {metadata.get('remedy', REMEDY)}{change}."
            )


def _list_pairs(name: str, image_ext: str, sem_seg_ext: str) -> list[dict[str, str]]:
    """The image and label files of a data set, in the order of their names.

    Raises:
        UsageError: a directory is missing, holds no label, or lacks the image of a label.
    """
    require_dataset(name)
    metadata = MetadataCatalog.get(name)
    image_root, sem_seg_root = metadata.image_root, metadata.sem_seg_root
    images = set(os.listdir(image_root))
    suffix = f".{sem_seg_ext}"
    stems = sorted(f.removesuffix(suffix) for f in os.listdir(sem_seg_root) if f.endswith(suffix))
    if not stems:
        raise UsageError(f"The data set {name} is empty: {sem_seg_root} holds no *{suffix}; {metadata.remedy}.")
    without_image = [stem for stem in stems if f"{stem}.{image_ext}" not in images]
    if without_image:
        raise UsageError(
            f"The data set {name} lacks the image of {len(without_image)} of its labels, the first being "
            f"{os.path.join(image_root, without_image[0])}.{image_ext}; {metadata.remedy}."
        )
    return [
        {
            "file_name": os.path.join(image_root, f"{stem}.{image_ext}"),
            "sem_seg_file_name": os.path.join(sem_seg_root, f"{stem}{suffix}"),
        }
        for stem in stems
    ]
