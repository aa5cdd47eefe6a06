"""The engine with Ray itself: a worker is killed, or the driver."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from errseg.batch.cluster import Cluster
from errseg.batch.cluster.engine import READER_CPUS, _say_if_it_waits
from errseg.cli import main
from errseg.errors import UsageError
from tests.tiny import blobs, write_run

OPTIONS = ["--classes", "cat, grass, sea", "--device", "cpu", "--format"]


@pytest.fixture
def job(tmp_path, monkeypatch):
    """``job(out, *options)``: the words of a command on 24 pictures and a broken one, here."""
    pytest.importorskip("ray")
    run = write_run(tmp_path / "run", "ERRSeg")
    (tmp_path / "in").mkdir()
    for seed in range(24):
        Image.fromarray(blobs(40, 60, seed)).save(tmp_path / f"in/{seed:02d}.png")
    (tmp_path / "in/broken.png").write_bytes(b"no picture")
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers: another number of threads changes the last digits
    yield lambda out, formats, *more: ["predict", "in", "--weights", str(run), "--out", out, *OPTIONS, formats, *more]
    torch.set_num_threads(before)


def files(folder: Path):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("predict.json", "failed.csv", ".errseg-lock")
    }


def kill_a_worker(out: Path, killed: list[int]) -> None:
    """When the first outputs are there, kill one of the actors, which are descendants of this process."""
    while not list(out.glob("*_overlay.png")):
        time.sleep(0.02)
    rows = [
        line.split(None, 2) for line in subprocess.check_output(["ps", "-eo", "pid,ppid,args"]).decode().splitlines()
    ]
    parents = {pid: parent for pid, parent, _ in rows}

    def is_ours(pid: str | None) -> bool:
        return pid == str(os.getpid()) or (pid in parents and is_ours(parents[pid]))

    actors = [int(pid) for pid, _, words in rows if words.startswith("ray::MapWorker") and is_ours(pid)]
    os.kill(actors[0], signal.SIGKILL)
    killed.append(actors[0])


def test_two_workers_one_of_them_killed(job, tmp_path):
    assert main(job("plain", "overlay,labels,json,rle")) == 1  # the broken picture
    killed = []
    thread = threading.Thread(target=kill_a_worker, args=(tmp_path / "ray", killed), daemon=True)
    thread.start()
    assert main(job("ray", "overlay,labels,json,rle", "--engine", "ray", "--workers", "2")) == 1
    thread.join(10)
    assert killed and files(tmp_path / "ray") == files(tmp_path / "plain") != {}
    assert (tmp_path / "ray/failed.csv").read_text().startswith("input,reason\nin/broken.png,")


def test_a_driver_is_killed_and_started_again(job, tmp_path, capfd):
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "out"
    words = job("out", "labels,parquet", "--engine", "ray", "--workers", "2")
    driver = subprocess.Popen([sys.executable, "-m", "errseg", *words], start_new_session=True)
    deadline = time.monotonic() + 300
    while len(list(out.glob("*_labels.png"))) < 8 and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait(30)
    written = len(list(out.glob("*_labels.png")))
    assert 8 <= written < 24
    assert main(words) == 1
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    counts = {words[0]: int(words[1]) for words in lines if words and words[0] in ("done", "kept", "failed")}
    assert counts["done"] + counts.get("kept", 0) == 24 and counts["failed"] == 1
    places = [place for path in out.glob("masks/*") for place in parquet.read_table(path)["place"].to_pylist()]
    assert sorted(places) == [f"{seed:02d}" for seed in range(24)]
    assert main(job("plain", "labels")) == 1
    labels = {path: content for path, content in files(out).items() if path.endswith(".png")}
    assert labels == files(tmp_path / "plain")


def test_a_running_cluster_whose_cores_are_all_workers(job, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray = str(Path(sys.executable).with_name("ray"))
    port = 6397
    start = [ray, "start", "--head", "--num-cpus", "2", "--node-ip-address", "127.0.0.1", "--port", str(port)]
    subprocess.run([*start, "--disable-usage-stats"], check=True, stdout=subprocess.DEVNULL)
    try:
        words = job("out", "labels", "--engine", "ray", "--address", f"127.0.0.1:{port}")
        done = subprocess.run([sys.executable, "-m", "errseg", *words], timeout=600)
    finally:
        subprocess.run([ray, "stop", "--force"], stdout=subprocess.DEVNULL)
    assert done.returncode == 1 and len(list((tmp_path / "out").glob("*_labels.png"))) == 24


def test_workers_of_a_machine(caplog):
    assert Cluster().resolved(8, 0) == Cluster(1, False, None, 8)
    assert Cluster(2).resolved(8, 0) == Cluster(2, False, None, 4)
    assert Cluster().resolved(8, 4) == Cluster(4, True, None, 2)
    there = Cluster(address="head:6379").resolved(64, 0)
    assert there.workers == 64 and there.workers * (there.worker_cpus + READER_CPUS) == 64
    _say_if_it_waits(there, {"CPU": 64.0})
    assert not caplog.records
    _say_if_it_waits(there, {"CPU": 8.0})
    assert "has 8 CPUs, fewer than 64 workers need" in caplog.text and "give --workers 8" in caplog.text
    with pytest.raises(UsageError, match="--device asks for a GPU, but this machine has none"):
        Cluster(on_gpu=True).resolved(8, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "2"], "--workers needs --engine ray"),
        (["--out", "s3://bucket/x"], "--out s3://bucket/x needs --engine ray"),
        (["--engine", "ray", "--format", "cvat"], "the same command without --engine ray afterwards"),
    ],
)
def test_options_of_one_engine(command, options, words):
    status, _, err = command("predict", "x.png", "--classes", "cat", *options)
    assert status == 2 and words in err
