"""Evaluation of one model on several data sets, each with its own vocabulary."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator, inference_on_dataset
from detectron2.utils import comm
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from errseg.config.settings import settings_of
from errseg.data import SemSegMapper, build_test_loader, dataset_vocabulary, require_dataset
from errseg.data.vocabularies import equal_names
from errseg.errors import UsageError
from errseg.failures import explained
from errseg.ledger import locked_outputs
from errseg.memory import memory_for
from errseg.modeling import system_of
from errseg.modeling.num_kept import AUTO, AutoKept, NumKept, same_for_all

from .evaluator import LabelMaps, VocabularyEvaluator
from .ledger import JOB, claim
from .metrics import worst_confusions
from .paper import paper_row
from .picture import draw_confusions
from .predictions import PredictionStore, ReusingMapper
from .provenance import provenance, state_digest
from .regions import RegionEvaluator
from .report import file_stems, results_table, scores_line, warn_of_missing, write_classes, write_json
from .split import check_split, unseen_classes

__all__ = [
    "build_evaluator", "check_names", "evaluate", "evaluate_with", "result_of", "set_dataset_vocabulary",
    "write_result",
]  # fmt: skip

CONFUSIONS = 50  # pairs of classes in evaluation.json

Result = dict[str, Any]
Evaluator = VocabularyEvaluator | RegionEvaluator
BuildLoader = Callable[[CfgNode, str], Iterable[list[dict[str, Any]]]]  # the loader of a registered data set
logger = logging.getLogger(__name__)


def evaluate(
    cfg: CfgNode,
    model: nn.Module,
    names: Sequence[str],
    weights: str | Path | None = None,
    save_predictions: str | Path | None = None,
    build_loader: BuildLoader = build_test_loader,
) -> dict[str, Result]:
    """Evaluate on registered data sets. Log the table of results, and write the files of ``report.py`` to OUTPUT_DIR.

    A data set defines the vocabulary, the ignore label and, if it recommends one, K. At the end, the model has its
    former vocabulary and mode again. The results of a data set are on disk before the next data set begins.

    Args:
        cfg: the configuration.
        model: a model with ``set_vocabulary`` that returns ``label_maps`` or scores; may be wrapped for distributed
            training.
        names: registered names of data sets.
        weights: the file of the model's weights; it is recorded in the results.
        save_predictions: a folder for the predictions. Predictions that it holds already are scored, not made again.
        build_loader: builds the loader of a data set; not used with ``save_predictions``.

    Returns:
        For each data set, by its registered name: its name in the paper, K, the scores in percent, and the other
        entries of ``evaluation.json``. A test set of a zero-shot split also has ``mIoU_seen``, ``mIoU_unseen``, their
        harmonic mean ``hIoU``, and ``unseen``, the ids of its unseen classes. A system that classifies regions has
        REGION_SCORES in their place. Empty in all processes but the main one.

    Raises:
        UsageError: a data set is missing, a file of it is invalid, DATASETS.TRAIN has classes that a data set counts
            as unseen, or ``save_predictions`` holds the predictions of another model or is given for one that does not
            segment.
    """
    if save_predictions:
        system_of(cfg).require("segment")
    if isinstance(model, DistributedDataParallel):
        model = model.module
    for name in names:
        require_dataset(name)
    check_names(model, names)
    check_split(cfg, names)
    held = held_predictions(save_predictions, cfg, model, names) if save_predictions and names else nullcontext()
    with explained(cfg.OUTPUT_DIR), explained(save_predictions or cfg.OUTPUT_DIR), held:
        return _evaluate(cfg, model, names, weights, save_predictions, build_loader)


def check_names(model: nn.Module, names: Sequence[str]) -> None:
    """Refuse data sets whose classes the model cannot tell apart, before hours of work.

    Args:
        model: a model without ``tokenize`` is not checked.
        names: names of data sets; unregistered ones are not checked.

    Raises:
        UsageError: the model's ``tokenize`` raised it.
    """
    tokenize = getattr(model, "tokenize", None)
    for name in names if tokenize else ():
        vocabulary = dataset_vocabulary(name)
        if vocabulary is not None:
            try:
                tokenize(vocabulary.prompts)
            except UsageError as error:
                raise UsageError(f"{name}: {error}") from error


def _evaluate(
    cfg: CfgNode,
    model: nn.Module,
    names: Sequence[str],
    weights: str | Path | None,
    save_predictions: str | Path | None,
    build_loader: BuildLoader,
) -> dict[str, Result]:
    """``evaluate``, when the checks are done and the folders are locked."""
    content, row = {}, None
    if names and comm.is_main_process():
        content = provenance(cfg, model, weights)
        row = paper_row(content["config"])
        content["paper"] = row and {"row": row.name, "mIoU": row.mIoU}
    stems = file_stems({name: MetadataCatalog.get(name).get("paper_name", name) for name in names})
    previous = getattr(model, "vocabulary", None)
    results = {}
    try:
        for name in names:
            evaluator, num_classes = _run(cfg, model, name, save_predictions, build_loader)
            if comm.is_main_process():
                results[name] = result_of(cfg, name, evaluator, num_classes)
                write_result(Path(cfg.OUTPUT_DIR), stems[name], results, name, evaluator, content)
                logger.info(scores_line(results[name]))  # the table follows after the last data set
    finally:
        if previous is not None:
            model.set_vocabulary(previous.names, num_classes=previous.num_kept)
    if results:
        logger.info("Results\n%s", results_table(results, row))
        logger.info("Written to %s; details are in the folder beside it", Path(cfg.OUTPUT_DIR) / "evaluation.json")
    return results


def evaluate_with(
    cfg: CfgNode,
    model: nn.Module,
    names: Sequence[str],
    build_loader: BuildLoader,
    evaluators: Sequence[DatasetEvaluator | list[DatasetEvaluator] | None],
) -> dict[str, Any]:
    """Evaluate with given evaluators, as Detectron2 does. No files are written.

    Args:
        cfg, model, names, build_loader: see ``evaluate``; the model returns scores, ``{"sem_seg": (T, H, W)}``.
        evaluators: the evaluator of each data set; None: the data set is left out.

    Returns:
        For each data set, by its registered name, the result of its evaluator; {} where it returns nothing.

    Raises:
        UsageError: DATASETS.TRAIN has classes that a data set counts as unseen.
    """
    if isinstance(model, DistributedDataParallel):
        model = model.module
    check_split(cfg, names)
    results = {}
    previous = getattr(model, "vocabulary", None)
    try:
        for name, evaluator in zip(names, evaluators, strict=True):
            results[name] = {}
            if evaluator is not None:
                set_dataset_vocabulary(cfg, model, name)
                results[name] = inference_on_dataset(model, build_loader(cfg, name), evaluator) or {}
                logger.info("Results of %s: %s", name, dict(results[name]))
    finally:
        if previous is not None:
            model.set_vocabulary(previous.names, num_classes=previous.num_kept)
    return results


@contextmanager
def held_predictions(folder: str | Path, cfg: CfgNode, model: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Lock a folder of predictions. All its predictions are of one model: every process checks that.

    The main process writes the ledger of the folder.
    """
    request = {"weights": state_digest(model.state_dict().items()), "settings": settings_of(cfg)}
    claim(folder, request, names)
    comm.synchronize()  # all processes have read the ledger before the main one writes it
    with locked_outputs(JOB, folder) if comm.is_main_process() else nullcontext():
        if comm.is_main_process():
            claim(folder, request, names).write()  # once more: another command may have written before the lock
        comm.synchronize()
        yield


def set_dataset_vocabulary(cfg: CfgNode, model: nn.Module, name: str) -> NumKept:
    """Set the vocabulary of a data set in the model; returns K."""
    metadata = MetadataCatalog.get(name)
    prompts = metadata.get("prompts", metadata.stuff_classes)
    num_kept = system_of(cfg).num_kept(cfg, len(prompts), metadata.get("num_classes_test"))  # 0: all
    model.set_vocabulary(prompts, num_classes=num_kept)
    num_kept = same_for_all(num_kept, len(prompts))
    title = metadata.get("paper_name", name)
    logger.info("Evaluating %s (%s): %d names, K = %s", title, name, len(prompts), num_kept)
    return num_kept


def _run(
    cfg: CfgNode, model: nn.Module, name: str, save_predictions: str | Path | None, build_loader: BuildLoader
) -> tuple[Evaluator, NumKept]:
    """Predict a data set; returns the evaluator and K. In the main process, it has the counts of all images."""
    num_classes = set_dataset_vocabulary(cfg, model, name)
    store = PredictionStore(save_predictions, name) if save_predictions else None
    evaluator = build_evaluator(cfg, name, store)
    predictor = LabelMaps(model) if isinstance(evaluator, VocabularyEvaluator) else model
    loader = reusing_loader(cfg, name, store) if store else build_loader(cfg, name)
    with memory_for(torch.device(cfg.MODEL.DEVICE).type):
        inference_on_dataset(predictor, loader, evaluator)
    if comm.is_main_process():
        warn_of_missing(name, _images(name, evaluator))
    return evaluator, num_classes


def build_evaluator(cfg: CfgNode, name: str, store: PredictionStore | None = None) -> Evaluator:
    """The evaluator of a registered data set, for what the system of a configuration predicts.

    Args:
        cfg: the configuration.
        name: of the data set.
        store: where label maps are saved; None: they are not saved.
    """
    distributed = comm.get_world_size() > 1
    if system_of(cfg).samples == "regions":
        return RegionEvaluator(name, distributed)
    return VocabularyEvaluator(name, distributed, store, cfg.TEST.MEAN_OVER)


def reusing_loader(cfg: CfgNode, name: str, store: PredictionStore, share: slice = slice(None)) -> DataLoader:
    """The loader of this process's share of a data set, in order; stored predictions stand in for their images."""
    store.check(DatasetCatalog.get(name))
    return build_test_loader(cfg, name, ReusingMapper(SemSegMapper(cfg, is_train=False), store), share)


def _images(name: str, evaluator: Evaluator) -> int:
    """The number of images that were evaluated. Regions are counted one by one, and are those of all images."""
    return len(DatasetCatalog.get(name)) if evaluator.unit == "regions" else evaluator.checksum.num_images


def result_of(cfg: CfgNode, name: str, evaluator: Evaluator, num_classes: NumKept | str) -> Result:
    """The entry of a data set in ``evaluation.json``, from all that an evaluator has counted; ``num_classes``: K."""
    metadata = MetadataCatalog.get(name)
    classes, unseen = list(metadata.stuff_classes), unseen_classes(name)
    pairs = worst_confusions(evaluator.matrix, CONFUSIONS)
    return {
        "paper_name": metadata.get("paper_name", name),
        "domain": metadata.get("domain", ""),
        "images": _images(name, evaluator),
        "checksum": evaluator.checksum.hexdigest(),
        "num_classes_test": AUTO if isinstance(num_classes, AutoKept) else num_classes,
        **evaluator.options,
        **{score: _or_none(value) for score, value in evaluator.scores().items()},
        **({"unseen": unseen} if unseen else {}),
        "classes": classes,
        **{column: [_or_none(x) for x in values] for column, values in evaluator.by_class().items()},
        "equal_names": equal_names(metadata.get("prompts", classes), cfg.MODEL.PROMPT.SYNONYMS),
        "confusions": [
            {"true": classes[pair.true], "predicted": classes[pair.predicted], "ids": [pair.true, pair.predicted],
             evaluator.unit: pair.pixels, "share": pair.share} for pair in pairs
        ],
        **evaluator.spread(),
    }  # fmt: skip


def write_result(
    folder: Path,
    stem: str,
    results: dict[str, Result],
    name: str,
    evaluator: Evaluator,
    content: dict[str, Any],
) -> None:
    """Write ``evaluation.json`` with all ``results`` so far, and the details of the data set ``name``."""
    result, details = results[name], folder / "evaluation"
    write_classes(details / f"{stem}.csv", result, list(evaluator.by_class()))
    picture, title = details / f"{stem}_confusion.png", result["paper_name"]
    draw_confusions(picture, evaluator.matrix, result["classes"], title, evaluator.unit)
    write_json(folder / "evaluation.json", {"results": results, **content})


def _or_none(value: float) -> float | None:
    return None if value != value else value
