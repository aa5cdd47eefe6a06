"""Tables II, XIII and XIV, and DeOP's two tables: evaluations of given weights."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from errseg.api import Segmenter
from errseg.data.benchmarks import BENCHMARKS
from errseg.evaluation.metrics import SPLIT_SCORES
from errseg.evaluation.paper import CONTENT

from .evaluated import evaluated
from .request import FIGURES, Request, title_of
from .sheet import PAPER, Cell, Row, Sheet, cell_of, of_paper
from .systems import contenders, protocol_note, score_of, scored, seeds_note, training_note

__all__ = ["at_kept", "at_sizes", "main_results", "zero_shot"]

KEPT = (4, 8, 12, 16, 24, 32, 40, 48, 64, 80)  # K, of Table XIII
SIZES, MINI_SIZES = (512, 640, 768, 896), (128, 160, 192, 224)  # of Table XIV; 160 is the mini world's own
INTERVALS = "In brackets: the 95 % interval over images."
SPLIT_SETS = {"COCO-Stuff 156/15": "coco_2017_train_stuff_156_sem_seg", "VOC 15/5": "voc_2012_train_15_sem_seg"}
SHORT = dict(zip(SPLIT_SCORES, ("seen", "unseen", "hIoU"), strict=True))


def main_results(paper: str, number: str, title: str) -> Callable[[Request], Sheet]:
    """What makes a table of mIoU on all data sets: rows for each checkpoint, below the paper's methods.

    Each checkpoint is tested by its own protocol and by one that is common to all; see ``errseg.benchmark.protocols``.
    """

    def make(request: Request) -> Sheet:
        sets, notes = request.present()
        rows = [Row(f"{name}{PAPER}", of_paper(CONTENT["data sets"], x, False)) for name, x in FIGURES[paper][number]]
        found, missing = contenders(request)
        for each in scored(request, found, sets):
            rows.append(Row(each.label, {title_of(name): score_of(x) for name, x in each.results.items()}))
        notes += [*missing, protocol_note(found), training_note(found), seeds_note(found)]
        return Sheet(title, _columns(request, sets), rows, notes)

    return make


def at_kept(request: Request) -> Sheet:
    """Table XIII: mIoU over K, the number of names that CRM keeps at test."""
    paper = {row["config"]: row["mIoU"] for row in CONTENT["rows"] if "/table13_" in row["config"]}
    figures = {int(config.rpartition("_")[2]): values for config, values in paper.items()}
    key, title = "MODEL.CRM.NUM_CLASSES_TEST", "Table XIII: names kept at test"
    loaded = request.models(key, KEPT[0])  # once for all K, which an evaluation reads from the configuration

    def models(value: int) -> dict[str, Segmenter]:
        return {name: _with(each, key, value, *request.opts) for name, each in loaded.items()}

    return _over(request, models, KEPT, "K", figures, title)


def at_sizes(request: Request) -> Sheet:
    """Table XIV: mIoU over the size of the network's input at test."""
    values = MINI_SIZES if request.mini else SIZES
    title = "Table XIV: size of the input at test"
    sheet = _over(request, partial(request.models, "INPUT.RESOLUTION_TEST"), values, "size", {}, title)
    for backbone, size, figures in FIGURES["ERR-Seg"]["XIV"]:
        sheet.rows.append(Row(f"{backbone}, size = {size}{PAPER}", of_paper(CONTENT["data sets"], figures, False)))
    sheet.columns = list(dict.fromkeys([*sheet.columns, *CONTENT["data sets"]]))
    sheet.notes.append(
        "errseg lacks the sizes of the paper's rows. Those shown are the sizes that the paper recommends: 640 and 768."
    )
    return sheet


def _with(segmenter: Segmenter, *keys: Any) -> Segmenter:
    """The same model with other configuration keys."""
    cfg = segmenter.cfg.clone()
    cfg.defrost()
    cfg.merge_from_list(list(keys))
    return Segmenter(segmenter.model, cfg)


def _over(
    request: Request,
    models: Callable[[int], dict[str, Segmenter]],
    values: Sequence[int],
    symbol: str,
    paper: dict[int, Sequence[float | None]],
    title: str,
) -> Sheet:
    """A row for each checkpoint and each value of a key; ``models`` gives those of a value."""
    sets, notes = request.present()
    names, rows = list(request.checkpoints), []
    for value in values:
        for name, segmenter in models(value).items():
            results = evaluated(segmenter, sets, request.out / "evaluations" / name / f"{symbol}{value}")
            cells = {title_of(each): cell_of([results[each]]) for each in sets}
            label = f"{name}, {symbol} = {value}" if len(names) > 1 else f"{symbol} = {value}"
            rows.append(Row(label, cells | of_paper(CONTENT["data sets"], paper.get(value, [None] * 5))))
    columns = [title_of(name) for name in sets] + ([f"{name}{PAPER}" for name in CONTENT["data sets"]] if paper else [])
    return Sheet(title, columns, rows, [*notes, INTERVALS])


def zero_shot(request: Request) -> Sheet:
    """DeOP's first table: seen, unseen and harmonic mIoU of zero-shot splits."""
    splits = {row.paper_name: row.name for row in BENCHMARKS if row.paper_name in SPLIT_SETS}
    sets, notes = request.present(None if request.mini else list(splits.values()))
    order, rows = ("hIoU", "mIoU_seen", "mIoU_unseen"), []
    for method, *figures in FIGURES["DeOP"]["zero-shot"]:
        cells = {}
        for title, values in zip(SPLIT_SETS, figures, strict=True):
            cells |= {f"{title} {SHORT[score]}": Cell(x) for score, x in zip(order, values, strict=True)}
        rows.append(Row(f"{method}{PAPER}", cells))
    found: dict[str, dict[str, Cell]] = {}
    for each in sets:
        keys: list[Any] = [] if request.mini else ["DATASETS.TRAIN", f"('{SPLIT_SETS[title_of(each)]}',)"]
        for name, segmenter in request.models(*keys).items():
            result = evaluated(segmenter, [each], request.out / "evaluations" / name)[each]
            cells = {f"{title_of(each)} {SHORT[score]}": cell_of([result], score) for score in order}
            found[name] = found.get(name, {}) | cells
    rows += [Row(name, cells) for name, cells in found.items()]
    titles = [title_of(name) for name in sets] + ([] if not request.mini else list(SPLIT_SETS))
    columns = [f"{title} {SHORT[score]}" for title in titles for score in order]
    notes += [INTERVALS, "The paper's mean is over the classes of truth or prediction, ours over those of the truth."]
    return Sheet("DeOP: zero-shot splits", columns, rows, notes)


def _columns(request: Request, sets: Sequence[str]) -> list[str]:
    """Our data sets; on the mini world, the paper's too."""
    return [title_of(name) for name in sets] + (list(CONTENT["data sets"]) if request.mini else [])
