"""Trackers of a run: their life, and the real packages offline where they are installed."""

import pytest
from detectron2.utils.events import EventStorage

import errseg
from errseg.engine.best import _Stop
from errseg.engine.writers import TRACKERS, MLflowWriter, TrackerWriter, WandbWriter, build_writers, check_writers
from errseg.errors import UsageError


class Recorder(TrackerWriter):
    """A tracker that only takes note."""

    package = "recorder"

    def start(self):
        self.sent, self.failed = [], None

    def send(self, scalars, iteration):
        self.sent.append((iteration, dict(scalars)))

    def end(self, failed):
        self.failed = failed


@pytest.fixture
def cfg(tmp_path):
    cfg = errseg.get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path / "run")
    (tmp_path / "run").mkdir()
    return cfg


def log(writer, losses, start=0, error=None):
    """The losses of some iterations, written one by one as a run would; then its end, perhaps by an error."""
    with EventStorage(start) as storage:
        try:
            for loss in losses:
                storage.put_scalars(total_loss=loss, smoothing_hint=False)
                storage.put_scalar("a_set/mIoU", 10 * loss, smoothing_hint=False)
                writer.write()
                storage.step()
            if error is not None:
                raise error
        finally:
            writer.write()
            writer.close()


@pytest.mark.parametrize(("error", "failed"), [(None, False), (_Stop(), False), (ValueError(), True)])
def test_each_scalar_is_sent_once_and_a_failure_is_told(cfg, error, failed):
    writer = Recorder(cfg, lambda: "ab12cd34")
    try:
        log(writer, [2.0, 1.0], 5, error)
    except (_Stop, ValueError):
        pass
    assert writer.sent == [(n, {"total_loss": loss, "a_set/mIoU": 10 * loss}) for n, loss in ((5, 2.0), (6, 1.0))]
    assert writer.failed is failed


def test_a_tracker_that_does_not_start_is_one_sentence(cfg):
    class Closed(Recorder):
        def start(self):
            raise ConnectionError("no\nserver")

    with pytest.raises(UsageError, match=r"WRITERS: recorder does not start \(no server\); correct that, or take"):
        log(Closed(cfg, lambda: ""), [1.0])


def test_which_there_are(cfg, monkeypatch):
    assert [type(each).__name__ for each in build_writers(cfg, 9, str)] == ["CommonMetricPrinter", "TensorboardXWriter"]
    cfg.WRITERS = ("comet",)
    with pytest.raises(UsageError, match="WRITERS has 'comet'; choose some of wandb, mlflow"):
        check_writers(cfg)
    cfg.WRITERS = ("wandb",)
    monkeypatch.setattr(TRACKERS["wandb"], "package", "no_such_package")
    with pytest.raises(UsageError, match=r"'wandb', which is not installed; install it: pip install 'errseg\[wandb\]'"):
        check_writers(cfg)


def test_weights_and_biases_offline(cfg, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    log(WandbWriter(cfg, lambda: "ab12cd34"), [2.0, 1.0])
    log(WandbWriter(cfg, lambda: "ab12cd34"), [0.5], start=2)
    files = sorted((tmp_path / "run/wandb").glob("offline-run-*-ab12cd34/run-ab12cd34.wandb"))
    assert files and b"total_loss" in b"".join(file.read_bytes() for file in files)


def test_mlflow_offline(cfg, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")  # the small package mlflow-skinny cannot write without a server
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    log(MLflowWriter(cfg, lambda: "ab12cd34"), [2.0, 1.0])
    log(MLflowWriter(cfg, lambda: "ab12cd34"), [0.5], start=2)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/run/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("errseg").experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["MODEL.META_ARCHITECTURE"] == "ERRSeg"
    losses = client.get_metric_history(run.info.run_id, "total_loss")
    assert [(each.step, each.value) for each in losses] == [(0, 2.0), (1, 1.0), (2, 0.5)]
    assert run.data.metrics["a_set/mIoU"] == 5.0
