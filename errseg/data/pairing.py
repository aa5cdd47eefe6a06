"""Find the label of each image by the names of the files."""

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from errseg.errors import UsageError

from .pictures import HAS_HEIF, HEIF, HEIF_ENDINGS

__all__ = ["IMAGE_ENDINGS", "LABEL_ENDINGS", "find_files", "left_out", "pair_files", "visible_files"]

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", *HEIF_ENDINGS)
LABEL_ENDINGS = (".png", ".tif", ".tiff")
LABEL_STUDIO = r"task-\d+-annotation-\d+-by-[^-]*-.+-\d+\."  # holds the task and the class, not the image


def visible_files(folder: str | Path) -> Iterator[str]:
    """The paths of the files in a folder and its sub-folders, in the order of their names, without hidden ones.

    Links to folders are followed, but no folder is visited twice.
    """
    visited = set()
    for directory, subfolders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(directory)
        if real in visited:  # a link to a folder above
            subfolders.clear()
            continue
        visited.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (os.path.join(directory, name) for name in sorted(names) if not name.startswith("."))


def left_out(paths: Iterable[str], endings: Sequence[str]) -> str:
    """A sentence that counts the files with none of ``endings``, by their own endings; "" where there are none."""
    others = (path for path in paths if not path.lower().endswith(tuple(endings)))
    counts = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in others)
    if not counts:
        return ""
    listed = ", ".join(f"{count} of {ending}" for ending, count in sorted(counts.items()))
    hint = "" if HAS_HEIF or not counts.keys() & set(HEIF) else "; install pillow-heif to read HEIC and HEIF"
    return f"{sum(counts.values())} files do not have the ending of a readable picture ({listed}){hint}."


def find_files(folder: str | Path, endings: Sequence[str], key: str, owner: str) -> dict[str, str]:
    """The files in a folder and its sub-folders that have one of ``endings``, without hidden ones.

    Args:
        folder: where to look.
        endings: in lower case; the case of a file's name does not matter.
        key: the key of the data-set file that gives the ending, for messages.
        owner: the data-set file, for messages.

    Returns:
        The path of each file by its stem, which is its path below ``folder``, with ``/`` and without the ending.

    Raises:
        UsageError: two files have the same stem.
    """
    files: dict[str, str] = {}
    for path in visible_files(folder):
        ending = next((ending for ending in endings if path.lower().endswith(ending)), None)
        if ending is None:
            continue
        stem = os.path.relpath(path, folder).replace(os.sep, "/")[: -len(ending)]
        if stem in files:
            raise UsageError(
                f"{files[stem]} and {path} have the same name but for their endings, and {owner} cannot tell which "
                f"one is meant; give {key}, or remove one."
            )
        files[stem] = path
    return files


def pair_files(
    owner: str,
    image_folder: str | Path,
    label_folder: str | Path,
    image_endings: Sequence[str] = IMAGE_ENDINGS,
    label_endings: Sequence[str] = LABEL_ENDINGS,
) -> list[dict[str, str]]:
    """The pairs of image and label with the same stem, in the order of the stems; images without a label are left out.

    Args:
        owner: the data-set file, for messages.
        image_folder: where the images are, in sub-folders or not.
        label_folder: where the labels are, in sub-folders of the same names.
        image_endings: how the names of images end.
        label_endings: how the names of labels end.

    Returns:
        ``file_name`` and ``sem_seg_file_name`` of each pair.

    Raises:
        UsageError: there is no pair, a label has no image, or two files have the same stem.
    """
    labels = find_files(label_folder, label_endings, "label_ext", owner)
    images = find_files(image_folder, image_endings, "image_ext", owner)
    for kind, key, files, folder, endings in (
        ("label", "label_ext", labels, label_folder, label_endings),
        ("image", "image_ext", images, image_folder, image_endings),
    ):
        if not files:
            raise UsageError(
                f"The data set {owner} has no {kind}: {folder} holds no file that ends in {', '.join(endings)}; "
                f"correct {kind}s or {key}."
            )
    logger = logging.getLogger(__name__)
    others = left_out(visible_files(image_folder), (*image_endings, *label_endings))
    if others:
        logger.warning("%s: in %s, %s", owner, image_folder, others)
    unmatched = sorted(labels.keys() - images.keys())
    _explain_parts(owner, [labels[stem] for stem in unmatched])
    if len(unmatched) == len(labels):
        raise UsageError(
            f"None of the {len(labels)} labels of the data set {owner} has an image of its name (the first label is "
            f"{labels[unmatched[0]]}, the first image {images[min(images)]}); the names must agree but for their "
            "endings, which image_ext and label_ext give, such as label_ext: _mask.png."
        )
    if unmatched:
        raise UsageError(
            f"The data set {owner} lacks the image of {len(unmatched)} of its labels, the first being "
            f"{labels[unmatched[0]]}; restore them under {image_folder}, or remove the labels."
        )
    unlabelled = sorted(images.keys() - labels.keys())
    if unlabelled:
        logger.warning(
            "%s: %d of %d images have no label and are left out, the first being %s",
            owner, len(unlabelled), len(images), images[unlabelled[0]],
        )  # fmt: skip
    return [{"file_name": images[stem], "sem_seg_file_name": labels[stem]} for stem in sorted(labels)]


def _explain_parts(owner: str, labels: Sequence[str]) -> None:
    """Refuse masks as Label Studio exports them: one file for each class of an image, without the image's name."""
    parts = [path for path in labels if re.match(LABEL_STUDIO, os.path.basename(path))]
    if parts:
        raise UsageError(
            f"{len(parts)} labels of the data set {owner} are masks of one class each, as Label Studio exports them "
            f"(the first is {parts[0]}); errseg data merge-label-studio MASKS EXPORT.json IMAGES --out LABELS "
            "makes labels of them."
        )
