"""A prepare script that is killed at any moment leaves only whole files, and a later run completes the set."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from errseg.data.prepare import ade20k_150, ade20k_full, convert, pascal_context, tasks
from errseg.data.prepare.raw import write_image
from errseg.data.prepare.tasks import Part, Task, convert_part
from errseg.errors import UsageError
from tests.data.raw_copies import WRITERS, blocks, write_photo, write_png, write_raw_ade20k_full

ROOT = Path(__file__).parents[2]
IMAGES = 160


@pytest.fixture
def many(tmp_path):
    """A-150 with enough images to kill a conversion before its end; returns the folder of the converted labels."""
    random = np.random.default_rng(0)
    raw = blocks(random, range(151), (300, 400), side=1)  # slow to compress
    folder = tmp_path / "ADEChallengeData2016"
    write_photo(folder / "images/validation/ADE_val_00000000.jpg", raw.shape, random)
    write_png(folder / "annotations/validation/ADE_val_00000000.png", raw)
    for number in range(1, IMAGES):
        for kind, suffix in (("images", "jpg"), ("annotations", "png")):
            first = folder / f"{kind}/validation/ADE_val_00000000.{suffix}"
            os.link(first, first.with_name(f"ADE_val_{number:08d}.{suffix}"))
    return folder / "annotations_detectron2/validation"


def work(root: Path, workers: int) -> None:
    os.setpgid(0, 0)
    tqdm.set_lock(threading.RLock())  # its own lock is that of all forks, and stays taken if one is killed with it
    sys.exit(convert(ade20k_150.parts, root, workers))


@pytest.fixture
def start():
    """``start(root, workers)``: a process that converts A-150 and leads a group; its orphans end with the test."""
    started = []

    def run(root: Path, workers: int) -> multiprocessing.Process:
        process = multiprocessing.get_context("fork").Process(target=work, args=(root, workers))
        process.start()
        started.append(process)
        return process

    yield run
    for process in started:
        for orphan in processes_of(process.pid):
            os.kill(orphan, signal.SIGKILL)


def wait_for(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def labels(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png")) if folder.exists() else []


def processes_of(group: int) -> list[int]:
    """The processes of a group that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for orphans in /proc")
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("victim", [signal.SIGKILL, signal.SIGTERM])
def test_killed_again_and_again(tmp_path, many, start, workers, victim):
    """Every existing label is always whole; no worker outlives its main process; the last run completes the set."""
    counts = [0]
    for _ in range(4):
        process = start(tmp_path, workers)
        wait_for(lambda: len(labels(many)) >= min(counts[-1] + 20, IMAGES))
        os.kill(process.pid, victim)
        process.join()
        for path in labels(many):
            assert np.asarray(Image.open(path)).shape == (300, 400)
        counts.append(len(labels(many)))
        if counts[-1] == IMAGES:
            break
    wait_for(lambda: not processes_of(process.pid), 10)
    for path in (labels(many)[0], many / "ADE_val_00000159.png"):  # one that is done, one that may not be
        path.with_name(f"{path.name}.tmp").write_bytes(b"half a file")
    last = start(tmp_path, workers)
    last.join()
    assert last.exitcode == 0 and len(labels(many)) == IMAGES and len(list(many.iterdir())) == IMAGES
    expected = np.asarray(Image.open(many.parents[1] / "annotations/validation/ADE_val_00000000.png")) - np.uint8(1)
    assert all(np.array_equal(Image.open(path), expected) for path in labels(many))
    assert counts[1] < IMAGES


def test_the_script_is_interrupted_from_the_keyboard(tmp_path, many):
    """Ctrl-C reaches the whole group; one sentence and no traceback; the same command goes on."""
    command = [sys.executable, ROOT / "datasets/prepare_ade20k_150.py", tmp_path, "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment)
    wait_for(lambda: len(labels(many)) >= 10)
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "the same command goes on" in errors and "Traceback" not in errors
    before = len(labels(many))
    assert 10 <= before < IMAGES
    again = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert again.returncode == 0 and f"A-150: {IMAGES - before} converted now, {before} before." in again.stdout
    assert f"{IMAGES - before}/{IMAGES - before}" in again.stderr  # the bar


def test_a_kill_between_image_and_label_is_no_pair(tmp_path, monkeypatch):
    write_raw_ade20k_full(tmp_path)

    def write_no_label(path, pixels):
        if path.suffix == ".tif":
            raise KeyboardInterrupt
        write_image(path, pixels)

    monkeypatch.setattr(tasks, "write_image", write_no_label)
    assert convert(ade20k_full.parts, tmp_path, 1) == 130
    assert len(list(tmp_path.rglob("images_detectron2/validation/*.jpg"))) == 1
    assert not list(tmp_path.rglob("*.tif"))
    monkeypatch.setattr(tasks, "write_image", write_image)
    assert convert(ade20k_full.parts, tmp_path, 1) == 0
    assert len(list(tmp_path.rglob("*.tif"))) == 5


@pytest.mark.parametrize("name", ["pascal_context_59", "ade20k_full"])
@pytest.mark.parametrize("bytes_left", [0, 5, 200, -1])
def test_what_another_program_left_half_written_is_converted_again(tmp_path, monkeypatch, capsys, name, bytes_left):
    """Other codebases write under the final name: when they are killed, PNG, JPEG or TIFF files can end anywhere."""
    expected = WRITERS[name](tmp_path)
    parts = {"pascal_context_59": pascal_context.parts_59, "ade20k_full": ade20k_full.parts}[name]
    assert convert(parts, tmp_path, 1) == 0
    written = {path: path.read_bytes() for path in tmp_path.rglob("*_detectron2/**/*") if path.is_file()}
    capsys.readouterr()
    for path, content in written.items():
        path.write_bytes(content[:bytes_left])
        assert convert(parts, tmp_path, 1) == 0
        assert f": 1 converted now, {len(expected) - 1} before." in capsys.readouterr().out
        assert path.read_bytes() == content
    assert {path.suffix for path in written} == ({".png"} if name == "pascal_context_59" else {".jpg", ".tif"})


def end_the_process(path):
    os.kill(os.getpid(), signal.SIGKILL)
    yield path, np.zeros((2, 2), np.uint8)


def one_label(path):
    yield path, np.zeros((2, 2), np.uint8)


def made_up_part(function, folder: Path) -> Part:
    paths = [folder / f"{number}.png" for number in range(20)]
    return Part("made up", 20, [Task((path,), partial(function, path)) for path in paths])


def test_a_worker_that_is_killed_is_spoken_of(tmp_path):
    with pytest.raises(UsageError, match="fewer --workers"):
        convert_part(made_up_part(end_the_process, tmp_path / "labels"), workers=2)
    assert not list(tmp_path.rglob("*.png"))


def test_two_runs_do_not_write_at_once(tmp_path, monkeypatch):
    part = made_up_part(one_label, tmp_path / "labels")
    monkeypatch.setattr(tasks, "LOCK_PATIENCE", 0.2)
    (tmp_path / "labels").mkdir()
    with tasks._locked(tmp_path / "labels"):
        with pytest.raises(UsageError, match="Another run is converting to .*labels; wait"):
            convert_part(part, workers=1)
        assert not list((tmp_path / "labels").iterdir())
    assert convert_part(part, workers=1).converted == 20
