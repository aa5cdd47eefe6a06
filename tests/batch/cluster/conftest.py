"""What the tests of the engine for very many pictures share: a tiny model, pictures, and a driver without Ray."""

import io
import tarfile
from dataclasses import replace

import pytest
from PIL import Image

from errseg.batch import Settings
from errseg.batch.cluster.inputs import find_inputs
from errseg.batch.cluster.job import Job, ledger_of
from errseg.batch.cluster.storage import Folder
from errseg.batch.cluster.worker import Task, Worker, read_rows
from errseg.batch.ledger import request_of
from tests.tiny import blobs, tiny_segmenter

NAMES = ["cat", "grass", "sky, heaven", "red car"]


@pytest.fixture(scope="package")
def model():
    model = tiny_segmenter("ERRSeg")
    model.set_vocabulary(NAMES)
    return model


@pytest.fixture
def pictures(tmp_path):
    """A folder with four pictures and a broken one."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "b.png", "deep/a.png", "deep/c.png"]):
        Image.fromarray(blobs(40, 60, seed)).save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "a.png").read_bytes()[:200])
    return folder


@pytest.fixture
def shard(pictures, tmp_path):
    """A WebDataset shard of the pictures, with other files, and a picture of a name that is taken."""
    path = tmp_path / "shards/000.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as file:
        for each in sorted(pictures.rglob("*.*")):
            file.add(each, each.relative_to(pictures).as_posix())
        for name in ("a.json", "a.jpg", "../out.png"):
            member = tarfile.TarInfo(name)
            member.size = 2
            file.addfile(member, io.BytesIO(b"{}"))
    return path


@pytest.fixture
def drive(model):
    """``drive(arguments, out, stop=N, **settings)``: the outcome of a job in this process; ended after N answers."""

    def run(arguments, out, stop=None, model=model, **settings):
        settings = Settings(None, **{"formats": ("labels", "json"), **settings})
        folder = Folder(str(out))
        with ledger_of(folder, request_of(model, settings.background, settings.min_confidence)) as ledger:
            job = Job(folder, ledger, find_inputs(list(map(str, arguments)), str(out)), settings)
            task = Task(str(out), replace(settings, formats=job.formats), job.parquet, ledger.request_id)
            worker = Worker(model, task)

            def answers():
                count = 0
                for pair in read_rows(job.rows):
                    for answer in worker([pair[0]], [pair[1]]):
                        if count == stop:
                            raise KeyboardInterrupt
                        count += 1
                        yield answer

            job.take_all(answers())
        return job.outcome

    return run
