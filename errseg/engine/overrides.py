"""Calls of the methods that a subclass of the trainer may override with Detectron2's signatures."""

import inspect
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import DefaultTrainer
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from torch import nn

from errseg.data import starting_at
from errseg.errors import UsageError
from errseg.evaluation import evaluate, evaluate_with, shown_scores
from errseg.modeling import system_of

__all__ = ["results_of", "train_loader"]

TASKS = ("sem_seg", "classification")
logger = logging.getLogger(__name__)


def train_loader(trainer: type[DefaultTrainer], cfg: CfgNode, **position: Any) -> Iterable[list[dict[str, Any]]]:
    """Call ``trainer.build_train_loader``, which has errseg's signature or Detectron2's ``(cls, cfg)``.

    Args:
        trainer: the class of the trainer.
        cfg: the configuration.
        position: keyword arguments of :func:`errseg.data.build_train_loader`: where the training stream starts.
    """
    parameters = inspect.signature(trainer.build_train_loader).parameters
    every = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    told = {key: value for key, value in position.items() if every or key in parameters}
    with starting_at(**position) as start:
        loader = trainer.build_train_loader(cfg, **told)
    if not told and not start.taken and comm.is_main_process():
        parts = cfg.SOLVER.ACCUMULATION_STEPS
        logger.warning(
            "%s.build_train_loader builds its loader without errseg.data.build_train_loader: a resumed run does not "
            "see the images that it would have seen%s.",
            trainer.__name__,
            f"; an iteration takes {parts} of its batches (SOLVER.ACCUMULATION_STEPS)" if parts > 1 else "",
        )
    return loader


def results_of(
    trainer: type[DefaultTrainer],
    cfg: CfgNode,
    model: nn.Module,
    evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None,
    is_default: bool,
) -> dict[str, dict[str, Any]]:
    """Evaluate on DATASETS.TEST; the results by data set. A single data set adds Detectron2's task ("sem_seg").

    Args:
        trainer: the class of the trainer, for its loaders and evaluators.
        cfg: the configuration.
        model: the model to evaluate.
        evaluators: one for each data set; None: those of ``trainer.build_evaluator``.
        is_default: ``trainer.build_evaluator`` is errseg's own.

    Raises:
        UsageError: the number of evaluators is not the number of data sets.
    """
    names = cfg.DATASETS.TEST
    if evaluators is None and is_default:
        scored = evaluate(cfg, model, names, build_loader=trainer.build_test_loader)
        task = "classification" if system_of(cfg).samples == "regions" else "sem_seg"
        results = {name: {task: {key: _number(of[key]) for key in shown_scores([of])}} for name, of in scored.items()}
    else:
        if isinstance(evaluators, DatasetEvaluator):
            evaluators = [evaluators]
        if evaluators is not None and len(evaluators) != len(names):
            raise UsageError(
                f"test() was given {len(evaluators)} evaluators for the {len(names)} data sets of DATASETS.TEST; "
                "give one for each."
            )
        evaluators = evaluators or [_evaluator(trainer, cfg, name) for name in names]
        results = evaluate_with(cfg, model, names, trainer.build_test_loader, evaluators)
    named = {name: _by_score(of) for name, of in results.items() if of}
    return {**named, **next(iter(results.values()))} if len(results) == 1 else named


def _evaluator(trainer: type[DefaultTrainer], cfg: CfgNode, name: str) -> DatasetEvaluator | None:
    try:
        return trainer.build_evaluator(cfg, name)
    except NotImplementedError:
        logger.warning("%s.build_evaluator gives no evaluator of %s, which is left out.", trainer.__name__, name)
        return None


def _by_score(results: Mapping[str, Any]) -> dict[str, Any]:
    """{task: {score: value}} without errseg's own tasks."""
    own = {score: value for task in TASKS for score, value in results.get(task, {}).items()}
    return {**own, **{task: of for task, of in results.items() if task not in TASKS}}


def _number(score: float | None) -> float:
    return float("nan") if score is None else score
