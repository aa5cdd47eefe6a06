"""The scores that the paper reports, by configuration. ``paper.json`` holds the rows of the paper's tables.

A row has the keys in which it differs from the base model's configuration. ``tests/evaluation/test_paper.py`` checks
the rows against the files of ``configs/``.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from errseg.config import get_cfg
from errseg.config.settings import decides_scores, flatten

__all__ = ["PAPER_ORDER", "PaperRow", "paper_row"]

CONTENT = json.loads(Path(__file__).with_name("paper.json").read_text(encoding="utf-8"))
PAPER_ORDER = (*CONTENT["data sets"], "PAS-20b")  # the paper's columns, and a data set that other papers add
# Keys that only training reads, but that differ between rows of the paper's tables
TRAINED_WITH = (
    "MODEL.CLIP.FINETUNE_IMAGE",
    "MODEL.CLIP.FINETUNE_TEXT",
    "MODEL.HSM.STAGE4_GRADIENT",
    "MODEL.CRM.NUM_CLASSES_TRAIN",
    "MODEL.ESCF.DROP_PATH",
    "MODEL.GUD.STOP_GRADIENT",
    "INPUT.RESOLUTION_TRAIN",
    "DATASETS.TRAIN",
)


class PaperRow(NamedTuple):
    """A row of one of the paper's tables."""

    name: str  # "Table II, ConvNeXt-B"
    mIoU: dict[str, float]  # by the paper's name of the data set


def paper_row(config: Mapping[str, Any]) -> PaperRow | None:
    """The row of the paper whose configuration this is; None where there is none.

    Only the keys that decide scores, and those that Tables V to XIII change, are compared. The length of the
    training and the number of GPUs do not count.
    """
    found = _settings_of(config)
    for row, settings in _rows():
        if found == settings:
            return row
    return None


def _settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that distinguish the rows of the paper: those that decide scores, and TRAINED_WITH."""
    return {key: value for key, value in flatten(config).items() if decides_scores(key) or key in TRAINED_WITH}


@cache
def _rows() -> list[tuple[PaperRow, dict[str, Any]]]:
    """Each row with all its settings."""
    base = _settings_of(get_cfg()) | CONTENT["base"]
    rows = []
    for row in CONTENT["rows"]:
        figures = {name: x for name, x in zip(CONTENT["data sets"], row["mIoU"], strict=True) if x is not None}
        rows.append((PaperRow(row["row"], figures), base | flatten(row["changes"])))
    return rows
