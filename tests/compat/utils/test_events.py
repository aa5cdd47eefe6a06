"""The event storage, the writers, the loggers."""

import logging
import os
import re
import sys

import numpy as np
import pytest
import torch
from detectron2.utils.events import (
    CommonMetricPrinter,
    EventStorage,
    TensorboardXWriter,
    get_event_storage,
)
from detectron2.utils.logger import setup_logger


def test_storage():
    with pytest.raises(AssertionError):
        get_event_storage()
    with EventStorage(5) as storage:
        assert get_event_storage() is storage
        for step in range(3):
            storage.put_scalar("lr", 0.1, smoothing_hint=False)
            storage.put_scalars(total_loss=torch.tensor(1.5 * step), other=2)
            storage.step()
        assert storage.iter == 8
        assert storage.latest()["total_loss"] == (3.0, 7)
        assert storage.latest_with_smoothing_hint(20)["total_loss"] == (1.5, 7)  # the median
        assert storage.latest_with_smoothing_hint(2)["total_loss"] == (2.25, 7)
        assert storage.history("total_loss").values() == [(0.0, 5), (1.5, 6), (3.0, 7)]
        assert storage.history("total_loss").global_avg() == 1.5
        assert set(storage.histories()) == set(storage.latest())
        with pytest.raises(KeyError, match="nothing"):
            storage.history("nothing")
        with pytest.raises(AssertionError, match="lr"):
            storage.put_scalar("lr", 0.1)
        storage.put_scalar("late", 1.0, cur_iter=3)
        assert storage.latest()["late"] == (1.0, 3)
        storage.iter = 20
        assert storage.iter == 20
        with EventStorage(0) as inner:
            assert get_event_storage() is inner
        assert get_event_storage() is storage


def test_count_samples_looks_at_the_window():
    with EventStorage(0) as storage:
        for step in range(30):
            storage.iter = step
            if step % 10 == 9:
                storage.put_scalar("seldom", step)
        assert storage.count_samples("seldom", 20) == 2
        assert storage.latest_with_smoothing_hint(20)["seldom"] == (24.0, 29)


def put_losses(storage, step, time=0.5):
    storage.put_scalars(total_loss=1.5 * step, loss_b=2.25, accuracy=0.5)
    storage.put_scalar("data_time", 0.1)
    storage.put_scalar("time", time)
    storage.put_scalar("lr", 1e-4, smoothing_hint=False)


def printed(log):
    lines = [record.getMessage() for record in log.records if record.name.endswith("utils.events")]
    log.clear()
    return [re.sub(r" +", " ", line).strip() for line in lines]


def test_console_line(log):
    with EventStorage(5) as storage:
        printer = CommonMetricPrinter(max_iter=7220)
        for step in range(2):
            put_losses(storage, step)
            printer.write()
            storage.step()
        first, second = printed(log)
        times = "time: 0.5000 last_time: 0.5000 data_time: 0.1000 last_data_time: 0.1000"
        memory = r"( max_mem: \d+M)?"
        assert re.fullmatch(f"eta: 1:00:07 iter: 5 total_loss: 0 loss_b: 2.25 {times} lr: 0.0001{memory}", first)
        assert re.fullmatch(f"eta: 1:00:06 iter: 6 total_loss: 0.75 loss_b: 2.25 {times} lr: 0.0001{memory}", second)
        storage.iter = 7220  # training is over
        printer.write()
        assert printed(log) == []


def test_console_line_without_times(log):
    with EventStorage(0) as storage:
        storage.put_scalar("total_loss", 1.0)
        CommonMetricPrinter().write()
        assert printed(log)[0].startswith("iter: 0 total_loss: 1 lr: N/A")


def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with EventStorage(3) as storage:
        writer = TensorboardXWriter(str(tmp_path))
        for step in range(3):
            storage.put_scalar("lr", step, smoothing_hint=False)
            writer.write()
            writer.write()  # the same value is written once
            storage.step()
        writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("lr")] == [(3, 0.0), (4, 1.0), (5, 2.0)]


def test_loggers(tmp_path, capsys):
    name = f"detectron2_interface_{os.getpid()}"
    logger = setup_logger(str(tmp_path), name=name)
    assert setup_logger(str(tmp_path), name=name) is logger and len(logger.handlers) == 2
    logging.getLogger(f"{name}.module").info("one")
    logging.getLogger(f"{name}.module").warning("two")
    other = setup_logger(str(tmp_path), distributed_rank=1, name=name + "_other")
    other.info("three")
    sys.stdout.flush()
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    stamp = r"\[\d\d/\d\d \d\d:\d\d:\d\d"
    assert re.search(f"^{stamp} {name}.module\\]: one$", shown, re.M)
    assert re.search(f"^WARNING {stamp} {name}.module\\]: two$", shown, re.M)
    assert "three" not in shown
    written = (tmp_path / "log.txt").read_text()
    assert re.search(f"^{stamp}\\] {name}.module INFO: one$", written, re.M) and "\x1b" not in written
    assert "three" in (tmp_path / "log.txt.rank1").read_text()


def test_scopes_pictures_and_files_that_are_made_late(tmp_path, log):
    writer = TensorboardXWriter(str(tmp_path))
    with EventStorage() as storage:
        assert not list(tmp_path.iterdir())
        with storage.name_scope("a"):
            storage.put_scalar("x", 1.0)
        storage.put_scalar("[metric]y", 2.0)
        assert set(storage.latest()) == {"a/x", "[metric]y"}
        CommonMetricPrinter(10).write()
        assert "[metric]y: 2" in log.text
        storage.put_image("picture", np.zeros((3, 4, 4), np.uint8))
        writer.write()
    writer.close()
    (file,) = tmp_path.iterdir()
    assert b"picture" in file.read_bytes()


def test_a_writer_that_has_written_nothing_makes_no_file(tmp_path):
    TensorboardXWriter(str(tmp_path)).close()
    assert not list(tmp_path.iterdir())
