"""Where the losses and scores of a run go: the console, TensorBoard, and the trackers that WRITERS names.

A tracker runs in the main process alone. Its own environment variables say where it sends to: WANDB_MODE=offline and
WANDB_PROJECT, or MLFLOW_TRACKING_URI. A resumed run goes on in the tracker's run of the same id.
"""

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from detectron2.config import CfgNode
from detectron2.utils.events import CommonMetricPrinter, EventWriter, TensorboardXWriter, get_event_storage

from errseg.config.settings import flatten
from errseg.errors import UsageError, short

from .best import was_stopped

__all__ = ["TRACKERS", "MLflowWriter", "TrackerWriter", "WandbWriter", "build_writers", "check_writers"]

PROJECT = "errseg"  # the project of Weights & Biases, and the experiment of MLflow, by default
WINDOW = 20  # iterations that a smoothed loss is the median of
TAG = "errseg.run"  # of a run of MLflow: the id of the run
LONGEST = 500  # characters of a parameter of MLflow
MOST = 100  # parameters that MLflow takes at once


class TrackerWriter(EventWriter):
    """Sends the scalars of a run to a tracker, which starts with the first of them.

    Args:
        cfg: the configuration of the run, which the tracker gets too.
        run_id: gives the id of the run; it is known once the run has begun.
    """

    package: str

    def __init__(self, cfg: CfgNode, run_id: Callable[[], str]):
        self.cfg, self.run_id = cfg, run_id
        self._started = self._broken = False
        self._newest = -1

    def start(self) -> None:
        """Begin the tracker's run, or go on with it."""
        raise NotImplementedError

    def send(self, scalars: Mapping[str, float], iteration: int) -> None:
        """Send the scalars of an iteration."""
        raise NotImplementedError

    def end(self, failed: bool) -> None:
        """End the tracker's run."""
        raise NotImplementedError

    def write(self) -> None:
        """Send the scalars that are new.

        Raises:
            UsageError: the tracker cannot start.
        """
        new: dict[int, dict[str, float]] = {}
        for name, (value, iteration) in get_event_storage().latest_with_smoothing_hint(WINDOW).items():
            if iteration > self._newest:
                new.setdefault(iteration, {})[name] = value
        if self._broken:  # which has been told
            return
        if new and not self._started:
            self._start()
        for iteration in sorted(new):
            self.send(new[iteration], iteration)
            self._newest = iteration

    def close(self) -> None:
        if self._started:
            kind = sys.exc_info()[0]
            self.end(failed=kind is not None and not was_stopped(kind))
            self._started = False

    def _start(self) -> None:
        try:
            self.start()
        except Exception as error:  # of an unknown server, a missing login, a folder that cannot be written
            self._broken = True
            reason = short(error, 200).rstrip(".") or type(error).__name__
            raise UsageError(
                f"WRITERS: {self.package} does not start ({reason}); correct that, or take it out of WRITERS."
            ) from error
        self._started = True


class WandbWriter(TrackerWriter):
    """Weights & Biases. Its files are in OUTPUT_DIR/wandb; offline runs are sent later by ``wandb sync``."""

    package = "wandb"

    def start(self) -> None:
        import wandb

        folder = Path(self.cfg.OUTPUT_DIR)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            dir=str(folder),
            id=self.run_id(),
            name=folder.resolve().name,
            resume="allow",
            config=flatten(self.cfg),
            settings=wandb.Settings(console="off", silent=True),
        )

    def send(self, scalars: Mapping[str, float], iteration: int) -> None:
        self._run.log(dict(scalars), step=iteration)

    def end(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


class MLflowWriter(TrackerWriter):
    """MLflow. Without MLFLOW_TRACKING_URI, it writes into OUTPUT_DIR/mlflow.db."""

    package = "mlflow"

    def start(self) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        folder = Path(self.cfg.OUTPUT_DIR).resolve()
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}")
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        found = self._client.search_runs([number], f"tags.`{TAG}` = '{self.run_id()}'", max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
            return
        self._id = self._client.create_run(number, tags={TAG: self.run_id()}, run_name=folder.name).info.run_id
        parameters = [Param(key, short(value, LONGEST - 1)) for key, value in flatten(self.cfg).items()]
        for first in range(0, len(parameters), MOST):
            self._client.log_batch(self._id, params=parameters[first : first + MOST])

    def send(self, scalars: Mapping[str, float], iteration: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(self._id, [Metric(name, value, now, iteration) for name, value in scalars.items()])

    def end(self, failed: bool) -> None:
        self._client.set_terminated(self._id, "FAILED" if failed else "FINISHED")


TRACKERS = {"wandb": WandbWriter, "mlflow": MLflowWriter}


def check_writers(cfg: CfgNode) -> None:
    """Check that the trackers of WRITERS are known and installed.

    Raises:
        UsageError: one is not.
    """
    for name in cfg.WRITERS:
        if name not in TRACKERS:
            raise UsageError(f"WRITERS has {short(name)!r}; choose some of {', '.join(TRACKERS)}.")
        if importlib.util.find_spec(TRACKERS[name].package) is None:
            raise UsageError(f"WRITERS has {name!r}, which is not installed; install it: pip install 'errseg[{name}]'.")


def build_writers(cfg: CfgNode, max_iter: int, run_id: Callable[[], str]) -> list[EventWriter]:
    """The console, TensorBoard, and the trackers of WRITERS.

    Args:
        cfg: the configuration.
        max_iter: the number of iterations of the run.
        run_id: gives the id of the run.

    Raises:
        UsageError: see ``check_writers``.
    """
    check_writers(cfg)
    trackers = [TRACKERS[name](cfg, run_id) for name in cfg.WRITERS]
    return [CommonMetricPrinter(max_iter), TensorboardXWriter(cfg.OUTPUT_DIR), *trackers]
