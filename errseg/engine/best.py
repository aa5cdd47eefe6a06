"""The best evaluation of a run: its weights are kept, and a run whose scores no longer rise ends early."""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from detectron2.config import CfgNode
from detectron2.engine import hooks
from detectron2.utils import comm

from errseg.errors import UsageError, short
from errseg.evaluation import SCORES
from errseg.evaluation.metrics import REGION_SCORES

from .resume import FINAL

__all__ = ["MODEL_BEST", "Best", "EvalHook", "best_set", "keep_best", "stop_if_due", "stopping"]

MODEL_BEST = "model_best"  # the weights of the best evaluation, as safetensors
FIRST = "first"  # SOLVER.BEST: the first data set of DATASETS.TEST
COMPARED = (SCORES[0], REGION_SCORES[0])  # mIoU; of systems that classify regions, the accuracy

logger = logging.getLogger(__name__)


class _Stop(BaseException):
    """Ends the training loop. It is no Exception, since Detectron2's loop logs those as failures."""


class Best:
    """The best score of a data set in a run, and the number of evaluations since. A checkpoint holds it.

    Args:
        name: of the data set, as DATASETS.TEST has it.
        patience: the run ends after this many evaluations without a better score; 0: never.
    """

    def __init__(self, name: str, patience: int = 0):
        self.name, self.patience = name, patience
        self.value: float | None = None
        self.iteration = self.seen = -1  # of the best evaluation, and of the last
        self.waited = 0

    @classmethod
    def of(cls, cfg: CfgNode) -> "Best | None":
        """The one that a configuration asks for; None where it asks for none.

        Raises:
            UsageError: see ``best_set``.
        """
        name = best_set(cfg)
        return cls(name, cfg.SOLVER.PATIENCE) if name else None

    @property
    def is_due(self) -> bool:
        """Whether the run has waited for a better score long enough."""
        return 0 < self.patience <= self.waited

    def see(self, record: Mapping[str, Any], iteration: int) -> bool:
        """Take note of an evaluation; returns whether it is the best so far.

        Args:
            record: scores in percent by "data set/score"; None or NaN: not defined.
            iteration: the iteration of the run.
        """
        key = next((key for key in (f"{self.name}/{score}" for score in COMPARED) if key in record), None)
        if key is None:
            logger.warning("The evaluation gives no %s of %s: SOLVER.BEST has no effect.", COMPARED[0], self.name)
            return False
        score, self.seen = record[key], iteration
        if score is not None and math.isfinite(score) and (self.value is None or score > self.value):
            self.value, self.iteration, self.waited = float(score), iteration, 0
            logger.info("%s is %.2f at iteration %d, the best so far.", key, score, iteration)
            return True
        self.waited += 1
        best = "none" if self.value is None else f"{self.value:.2f}, at iteration {self.iteration}"
        limit = f" of {self.patience} (SOLVER.PATIENCE)" if self.patience else ""
        logger.info("%s is not better: the best is %s; evaluations since: %d%s.", key, best, self.waited, limit)
        return False

    def state_dict(self) -> dict[str, Any]:
        keys = ("name", "value", "iteration", "seen", "waited")
        return {key: getattr(self, key) for key in keys}

    def check_state_dict(self, state: Any, path: str) -> None:
        """Refuse a state that is damaged; None is the state of a run without one.

        Raises:
            UsageError: it is damaged; the message names ``path``, the checkpoint.
        """
        fault = None if state is None else _fault(state)
        if fault:
            raise UsageError(
                f"{path} cannot be resumed from: trainer.best {fault}; write the name of an earlier checkpoint into "
                "last_checkpoint, or start a new run without --resume, with MODEL.WEIGHTS."
            )

    def load_state_dict(self, state: Mapping[str, Any] | None) -> None:
        """Go on from the state of a checkpoint. That of another data set does not count."""
        if state is not None and state["name"] == self.name:
            self.value, self.iteration = state["value"], state["iteration"]
            self.seen, self.waited = state["seen"], state["waited"]
        elif state is not None:
            logger.warning("The best score was that of %s; that of %s begins anew.", state["name"], self.name)


class EvalHook(hooks.EvalHook):
    """Detectron2's hook; it does not evaluate at the end of a run that failed, and stops a run that waited enough."""

    def after_step(self) -> None:
        super().after_step()
        done = self.trainer.iter + 1
        if self._period > 0 and done % self._period == 0 and done < self.trainer.max_iter:
            stop_if_due(self.trainer)

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            super().after_train()


def best_set(cfg: CfgNode) -> str:
    """The data set by whose score the best weights are kept, of SOLVER.BEST and SOLVER.PATIENCE; "" for none.

    Raises:
        UsageError: it is none of DATASETS.TEST, or there are no evaluations during training.
    """
    wanted, sets = cfg.SOLVER.BEST or (FIRST if cfg.SOLVER.PATIENCE else ""), tuple(cfg.DATASETS.TEST)
    if not wanted:
        return ""
    asked = f"SOLVER.BEST = {short(wanted)!r}" if cfg.SOLVER.BEST else f"SOLVER.PATIENCE = {cfg.SOLVER.PATIENCE}"
    if not sets:
        raise UsageError(f"{asked} needs evaluations, but DATASETS.TEST is empty; name a data set.")
    if cfg.TEST.EVAL_PERIOD < 1:
        raise UsageError(f"{asked} needs evaluations during training, but TEST.EVAL_PERIOD is 0; give a period.")
    if wanted != FIRST and wanted not in sets:
        raise UsageError(f"{asked} is none of DATASETS.TEST ({', '.join(sets)}); name one of them.")
    return sets[0] if wanted == FIRST else wanted


def keep_best(trainer: Any, record: Mapping[str, Any]) -> None:
    """Keep the trainer's weights if an evaluation of them is the best so far. Only the main process calls it.

    Args:
        trainer: its ``best_evaluation`` takes note of the evaluation, unless it knows it already.
        record: the evaluation, as ``metrics.json`` has it.
    """
    best, iteration = trainer.best_evaluation, record["iteration"]
    if best is not None and iteration > best.seen and best.see(record, iteration):
        trainer.checkpointer.save_weights(MODEL_BEST, iteration=str(iteration), best=best.name)


def stop_if_due(trainer: Any) -> None:
    """End the training loop of all processes if the main one has waited for a better score long enough.

    The main process writes the final checkpoint, of ``trainer.iter``. Call it at the same place in every process, and
    within ``stopping``.
    """
    best: Best | None = trainer.best_evaluation
    if best is None or not any(comm.all_gather(comm.is_main_process() and best.is_due)):
        return
    if comm.is_main_process():
        at = f"The run ends at iteration {trainer.iter}"
        why = f"{best.waited} evaluations without a better score of {best.name} (SOLVER.PATIENCE {best.patience})"
        logger.info("%s: %s. The best weights are in %s.safetensors.", at, why, MODEL_BEST)
        trainer.checkpointer.save(FINAL, iteration=trainer.iter)
    raise _Stop


@contextmanager
def stopping() -> Iterator[None]:
    """End the training within, where ``stop_if_due`` stops it."""
    try:
        yield
    except _Stop:
        pass


def was_stopped(kind: type[BaseException] | None) -> bool:
    """Whether the type of an exception is that of an early end, which is no failure."""
    return kind is not None and issubclass(kind, _Stop)


def _fault(state: Any) -> str:
    """What is wrong with a state, as the end of a sentence; "" where nothing is."""
    if not isinstance(state, dict):
        return "is no dictionary"
    if not isinstance(state.get("name"), str):
        return "has no name of a data set"
    value = state.get("value", math.nan)
    if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value)):
        return f"has the value {short(value)} in place of a number"
    for key, least in (("iteration", -1), ("seen", -1), ("waited", 0)):
        if type(state.get(key)) is not int or state[key] < least:
            return f"has {key} {short(state.get(key))} in place of a whole number from {least} on"
    return ""
