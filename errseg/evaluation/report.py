"""The output of an evaluation: the table, ``evaluation.json``, a CSV of the classes, the worst confusions.

OUTPUT_DIR/evaluation.json              all scores and their origin
OUTPUT_DIR/evaluation/A-150.csv         scores of each class
OUTPUT_DIR/evaluation/A-150_confusion.png
"""

import csv
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from tabulate import tabulate

from errseg.atomic import replacing

from .metrics import MEAN_IOUS, shown_scores
from .paper import PAPER_ORDER, PaperRow

__all__ = [
    "file_stems",
    "interval_of",
    "place_of",
    "results_table",
    "scores_line",
    "warn_of_missing",
    "write_classes",
    "write_json",
]

Result = dict[str, Any]
logger = logging.getLogger(__name__)


def results_table(results: Mapping[str, Result], row: PaperRow | None = None) -> str:
    """A Markdown table of the scores: a column for each data set, in the paper's order, and a row for each score.

    The 95 % interval over images follows each mean IoU that has one.

    Args:
        results: by registered name. The header has the paper's names, or the registered ones where two are equal.
        row: the paper's scores; they and the differences follow the mIoU of ``results``.
    """
    count = Counter(result["paper_name"] for result in results.values())
    titles = {name: x["paper_name"] if count[x["paper_name"]] == 1 else name for name, x in results.items()}
    names = sorted(results, key=lambda name: place_of(results[name]))
    header, results = ["", *(titles[name] for name in names)], [results[name] for name in names]
    rows = []
    for score in shown_scores(results):
        rows.append([score, *(_number(result.get(score)) for result in results)])
        bounds = [interval_of(result, score) for result in results] if score in MEAN_IOUS else []
        if any(bounds):
            rows.append(["95 % interval", *(each or "–" for each in bounds)])
        if row and score == "mIoU":
            figures = [row.mIoU.get(result["paper_name"]) for result in results]
            pairs = [(result["mIoU"], figure) for result, figure in zip(results, figures, strict=True)]
            rows += [
                ["mIoU, paper", *(_number(figure, 1) for figure in figures)],
                ["difference", *("–" if None in pair else f"{pair[0] - pair[1]:+.2f}" for pair in pairs)],
            ]
    table = tabulate(rows, header, tablefmt="pipe", stralign="right", disable_numparse=True)
    return f"{table}\n\nThe paper's figures: {row.name}." if row else table


def scores_line(result: Result) -> str:
    """The scores of one data set, in a line."""
    scores = shown_scores([result])
    bounds = interval_of(result, scores[0])
    texts = [f"{score} {_number(result[score])}" for score in scores]
    return f"{result['paper_name']}: " + ", ".join([texts[0] + (f" ({bounds})" if bounds else ""), *texts[1:]])


def warn_of_missing(name: str, images: int) -> None:
    """Log a warning where a registered data set was published with another number of images than were evaluated."""
    metadata = MetadataCatalog.get(name)
    whole, title = metadata.get("num_images"), metadata.get("paper_name", name)
    if whole and images != whole:
        logger.warning("%s has %d images, but %d are published: its scores are not comparable.", title, images, whole)


def interval_of(result: Mapping[str, Any], score: str) -> str | None:
    """The 95 % interval of a score over images, "35.1 – 36.5"; None where the result has none."""
    bounds = (result.get("intervals") or {}).get(score)
    return None if bounds is None else f"{bounds[0]:.2f} – {bounds[1]:.2f}"


def write_json(path: Path, content: Any) -> None:
    """Write JSON that every parser accepts.

    Raises:
        ValueError: ``content`` holds nan or infinity, which are no JSON.
    """
    with replacing(path) as temporary:
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_classes(path: Path, result: Result, columns: Sequence[str] = ("iou", "acc", "pixels")) -> None:
    """Write a line for each class: id, name, and the entries ``columns`` of a result, empty where one is None.

    They are, in percent, IoU and accuracy (None: the class is not in the labels), and pixels.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name", *columns])
        rows = zip(result["classes"], *(result[column] for column in columns), strict=True)
        for i, (name, *values) in enumerate(rows):
            cells = ["" if x is None else f"{x:.4f}" if isinstance(x, float) else x for x in values]
            writer.writerow([i, name, *cells])


def file_stems(paper_names: Mapping[str, str]) -> dict[str, str]:
    """The stem of the files of each data set: its name in the paper, or its registered name where two would be equal.

    Args:
        paper_names: the names in the paper, by registered name.
    """
    stems = {name: _as_file_name(paper_name) for name, paper_name in paper_names.items()}
    count = Counter(stem.lower() for stem in stems.values())
    return {name: stem if count[stem.lower()] == 1 else _as_file_name(name) for name, stem in stems.items()}


def _as_file_name(name: str) -> str:
    return re.sub(r"[^\w.+-]+", "_", name).strip("_.") or "data_set"


def place_of(result: Result) -> int:
    """The position of a data set among the columns. Data sets that the paper does not have come last."""
    name: Sequence[str] = PAPER_ORDER
    return name.index(result["paper_name"]) if result["paper_name"] in name else len(name)


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"
