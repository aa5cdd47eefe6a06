"""Tables I and IV: what labels and names alone say of the data sets.

Shapes: T names of a test set, S names of the training set, D text dimension.
"""

from typing import Any

import torch
from detectron2.data import DatasetCatalog

from errseg.api import load
from errseg.api.names import as_vocabulary
from errseg.data import LabelReader, dataset_vocabulary
from errseg.data.parallel import default_workers, parallel_map
from errseg.mini.ablate import prepare
from errseg.modeling.clip import RANDOM

from .request import FIGURES, MINI, REAL, Request, title_of
from .sheet import PAPER, Cell, Row, Sheet

__all__ = ["redundancy", "similarity"]

THRESHOLDS = (0.95, 0.9, 0.8)
GIVEN = "the given names"
EQUAL = 1e-5  # a cosine from 1 - EQUAL on counts as 1: equal names differ by rounding alone


class _Classes:
    """Counts the classes of a label; an object that can be sent to another process."""

    def __init__(self, name: str):
        self.read = LabelReader(name)

    def __call__(self, record: dict[str, str]) -> int:
        path = record["sem_seg_file_name"]
        ids = set(self.read.to_classes(self.read.read(path, record["file_name"]), path).ravel().tolist())
        return len(ids - {self.read.ignore_label})


def redundancy(request: Request) -> Sheet:
    """Table I: the mean number of classes of an image, and the share of a set's classes that an image does not have."""
    sets, notes = request.present()
    columns = ["images", "names", "classes per image", "redundant (%)"]
    paper = [f"{column}{PAPER}" for column in columns[2:]]
    rows = []
    for name in sets:
        title, classes = title_of(name), len(dataset_vocabulary(name).classes)
        records = DatasetCatalog.get(name)
        workers = default_workers() if len(records) > 500 else 1
        counts = list(parallel_map(_Classes(name), records, workers, title))
        mean = sum(counts) / len(counts)
        cells = {
            columns[0]: Cell(len(counts), 0),
            columns[1]: Cell(classes, 0),
            columns[2]: Cell(mean, 2),
            columns[3]: Cell(100 * (1 - mean / classes), 1),
        }
        figure = FIGURES["ERR-Seg"]["I"].get(title)
        if figure:
            cells |= {paper[0]: Cell(figure), paper[1]: Cell(100 * (1 - figure / classes))}
        rows.append(Row(title, cells))
    notes.append(
        "Redundant: the share of a set's classes that an image does not show, on average. The paper's share is "
        "computed from its mean and the number of names."
    )
    shown = [*columns, *([] if request.mini else paper)]
    return Sheet("Table I: classes per image, and redundant classes", shown, rows, notes)


@torch.no_grad()
def similarity(request: Request) -> Sheet:
    """Table IV: the share of a set's names by their cosine with the most similar name of the training set.

    Names of the user's own, from ``--classes``, ``--classes-file`` or ``--vocabulary``, get a row below the data sets.
    """
    model = _text_tower(request)
    source = model.weight_sources.clip
    trained = _embeddings(model, dataset_vocabulary(request.training_set))
    columns = ["names", "= 1 (%)", *(f"> {threshold} (%)" for threshold in THRESHOLDS)]
    paper = [f"column {i}{PAPER}" for i in (1, 2, 3)]
    rows = []
    given = [] if request.names is None else [as_vocabulary(request.names)]
    for name, vocabulary in [
        *((name, dataset_vocabulary(name)) for name in request.sets),
        *((GIVEN, x) for x in given),
    ]:
        best = (_embeddings(model, vocabulary) @ trained.T).amax(1)  # (T, D) x (D, S) -> (T,)
        shares = [best >= 1 - EQUAL, *(best > threshold for threshold in THRESHOLDS)]
        cells = {columns[0]: Cell(len(best), 0)}
        cells |= {column: Cell(100 * float(x.float().mean())) for column, x in zip(columns[1:], shares, strict=True)}
        title = name if name == GIVEN else title_of(name)
        figures = FIGURES["ERR-Seg"]["IV"].get(title, ())
        cells |= {column: Cell(x, 0) for column, x in zip(paper, figures, strict=False)}
        rows.append(Row(title, cells))
    notes = [
        f"Cosine of each name with the most similar one of the {len(trained)} names of "
        f"{title_of(request.training_set)}. Text tower: {source}."
    ]
    if source.startswith(RANDOM):
        notes.append(
            "Its weights are random: the share of equal names holds, the other shares mean nothing. Give --checkpoint "
            "NAME=FILE, or MODEL.CLIP.PRETRAINED."
        )
    if not request.mini:
        notes.append("errseg lacks the thresholds of the paper's three columns. The columns are in the paper's order.")
    shown = [*columns, *([] if request.mini else paper)]
    return Sheet("Table IV: similarity of a set's names with those of the training set", shown, rows, notes)


def _text_tower(request: Request) -> Any:
    """The model of the checkpoint, or else one with the CLIP that training starts from."""
    if request.checkpoints:
        return next(iter(request.models().values())).model
    keys = list(request.opts)
    if request.mini:
        prepare(request.runs)
        keys = ["MODEL.CLIP.PRETRAINED", str(request.runs / "clip.pt"), *keys]
    config = request.config or (MINI if request.mini else REAL)
    return load(config, None, request.device, None, keys, False).model


def _embeddings(model: Any, vocabulary: Any) -> torch.Tensor:
    """(T, D) of unit length, of the prompts of a vocabulary."""
    return model.encode_names(model.tokenize(vocabulary.prompts)).float()
