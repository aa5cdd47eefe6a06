"""The work on a group of pictures: the files are those of the plain engine, wherever they come from and go to."""

from pathlib import Path

import fsspec
import pytest

from errseg.batch import Settings, find_sources, predict
from errseg.batch.cluster.worker import ModelSpec, Task, Worker
from tests.tiny import write_run

FORMATS = ("overlay", "labels", "json", "rle")
PLACES = ("a", "b", "deep/a", "deep/c")


def files(folder):
    """The outputs below a folder by their path; JSON without the line that names the picture."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    return {path: content for path, content in found.items() if "/." not in f"/{path}" and path != "predict.json"}


def without_path(content):
    return b"\n".join(line for line in content.splitlines() if not line.startswith(b' "image"'))


@pytest.fixture
def plain(model, pictures, tmp_path):
    """The files of the plain engine."""
    out = tmp_path / "plain"
    outcome = predict(model, find_sources([str(pictures)], out), Settings(out, FORMATS))
    assert outcome.done == 4
    return files(out)


def test_the_files_of_the_plain_engine(drive, pictures, plain, tmp_path):
    outcome = drive([pictures], tmp_path / "out", formats=FORMATS)
    made = files(tmp_path / "out")
    table = made.pop("failed.csv").decode().splitlines()
    assert made == plain and len(plain) == 16
    assert (outcome.done, len(outcome.problems)) == (4, 1)
    assert table[0] == "input,reason" and len(table) == 2 and f"{pictures}/broken.jpg," in table[1]


def test_stores(drive, pictures, plain):
    system = fsspec.filesystem("memory")
    system.put(f"{pictures}/", "/bucket/in/", recursive=True)
    outcome = drive(["memory://bucket/in"], "memory://bucket/out", formats=FORMATS)
    assert (outcome.done, len(outcome.problems)) == (4, 1)
    made = {path[len("/bucket/out/") :]: system.cat(path) for path in system.find("/bucket/out")}
    assert set(made) == {*plain, "failed.csv", "predict.json"}
    assert all(without_path(made[path]) == without_path(plain[path]) for path in plain)
    again = drive(["memory://bucket/in/*.png"], "memory://bucket/out", formats=FORMATS)
    assert (again.kept, again.done, again.problems) == (2, 0, [])
    system.rm("/bucket", recursive=True)


def test_shards(drive, shard, plain, tmp_path):
    out = tmp_path / "out"
    outcome = drive([tmp_path / "shards/{000..000}.tar"], out, stop=2, formats=FORMATS)
    assert outcome.stopped and outcome.done == 2
    outcome = drive([shard], out, formats=FORMATS)
    assert (outcome.kept, outcome.done) == (2, 2)
    said = "\n".join(outcome.problems)
    assert len(outcome.problems) == 3 and "two members are named a; rename one" in said
    assert "the member '../out.png' has no path in the shard" in said and "tar://broken.jpg::" in said
    made = files(out / "000.tar")
    assert set(made) == set(plain)
    assert all(without_path(made[path]) == without_path(plain[path]) for path in plain)


def test_other_weights_on_the_machine_of_a_worker(tmp_path):
    run = write_run(tmp_path / "run", "ERRSeg")
    spec = ModelSpec(str(run), None, "cpu", None, (), ["cat"], None, "another")
    task = Task(str(tmp_path / "out"), Settings(Path(), ("labels",)), False, "id")
    assert "is another file on a worker's machine" in Worker(spec, task)([], [])[0]["fatal"]
    lost = spec._replace(config=str(tmp_path / "nowhere"))
    assert "nowhere" in Worker(lost, task)([], [])[0]["fatal"]
