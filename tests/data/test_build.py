"""The training stream: the same batches whatever the start, the workers and the processes."""

import itertools
import random

import numpy as np
import pytest
from detectron2.data import DatasetCatalog
from detectron2.utils import comm

from errseg.config import get_cfg
from errseg.data import build_test_loader, build_train_loader, images_per_step, register_sem_seg, starting_at
from errseg.data.build import PositionSampler, TrainingStream
from errseg.errors import UsageError


def number_of(record):
    """A mapper that draws random numbers as augmentations do."""
    return {**record, "draws": (random.random(), np.random.rand())}


@pytest.fixture
def cfg(tmp_path):
    name = "test_build"
    register_sem_seg(name, tmp_path, tmp_path, ["thing"])
    DatasetCatalog.remove(name)
    DatasetCatalog.register(name, lambda: [{"file_name": str(i)} for i in range(7)])
    cfg = get_cfg()
    cfg.SEED = 3
    cfg.DATASETS.TRAIN = (name,)
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.DATALOADER.NUM_WORKERS = 0
    return cfg


def batches(cfg, count, start=0):
    return list(itertools.islice(build_train_loader(cfg, start, mapper=number_of), count))


def test_a_later_start_and_workers_give_the_same_batches(cfg):
    whole = batches(cfg, 6)
    assert [len(batch) for batch in whole] == [4] * 6
    assert batches(cfg, 3, start=3) == whole[3:]
    cfg.DATALOADER.NUM_WORKERS = 2
    assert batches(cfg, 3, start=3) == whole[3:]


def test_parts_of_an_iteration_make_its_batch(cfg):
    whole = batches(cfg, 3)
    cfg.SOLVER.ACCUMULATION_STEPS = 2
    parts = batches(cfg, 2, start=2)
    assert parts[0] + parts[1] == whole[2]


def test_processes_share_the_batch(cfg, monkeypatch):
    whole = batches(cfg, 2)
    shares = []
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        sampler = PositionSampler(4, comm.get_rank(), comm.get_world_size())
        stream = TrainingStream(DatasetCatalog.get("test_build"), number_of, seed=3)
        shares.append([stream[p] for p in itertools.islice(sampler, 2)])
    assert sorted(x["file_name"] for share in shares for x in share) == sorted(x["file_name"] for x in whole[1])
    assert [shares[0][0], shares[1][0], shares[0][1], shares[1][1]] == whole[1]


def test_every_epoch_is_another_order_of_all_images(cfg):
    stream = TrainingStream(DatasetCatalog.get("test_build"), number_of, seed=3)
    epochs = [[stream[7 * epoch + i]["file_name"] for i in range(7)] for epoch in range(3)]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    other = TrainingStream(stream.records, number_of, seed=4)
    assert [other[i]["file_name"] for i in range(7)] != epochs[0]


def test_the_global_generators_are_given_back(cfg):
    stream = TrainingStream(DatasetCatalog.get("test_build"), number_of, seed=3)
    random.seed(1)
    np.random.seed(1)
    expected = (random.random(), np.random.rand())
    random.seed(1)
    np.random.seed(1)
    assert stream[5]["draws"] != expected
    assert (random.random(), np.random.rand()) == expected


@pytest.mark.parametrize(("total", "parts", "processes"), [(6, 1, 4), (8, 3, 1), (4, 4, 2), (4, 0, 1), (0, 1, 1)])
def test_a_batch_that_does_not_divide_is_named(cfg, total, parts, processes):
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.ACCUMULATION_STEPS = total, parts
    with pytest.raises(UsageError, match=f"IMS_PER_BATCH {total} does not divide"):
        images_per_step(cfg, processes)


def test_training_sets_share_their_vocabulary(cfg, tmp_path):
    register_sem_seg("test_build_other", tmp_path, tmp_path, ["stuff"])
    cfg.DATASETS.TRAIN = ("test_build", "test_build_other")
    with pytest.raises(UsageError, match="test_build and test_build_other"):
        build_train_loader(cfg)
    cfg.DATASETS.TRAIN = ()
    with pytest.raises(UsageError, match="DATASETS.TRAIN is empty"):
        build_train_loader(cfg)


def odd_only(record):
    """A mapper that returns None for some images, as Detectron2's may."""
    return number_of(record) if int(record["file_name"]) % 2 else None


def test_another_image_is_drawn_for_one_that_the_mapper_leaves_out(cfg):
    def some(count, start=0):
        return list(itertools.islice(build_train_loader(cfg, start, mapper=odd_only), count))

    whole = some(5)
    names = [record["file_name"] for batch in whole for record in batch]
    assert len(names) == 20 and set(names) == {"1", "3", "5"}
    assert some(2, start=3) == whole[3:]
    cfg.DATALOADER.NUM_WORKERS = 2
    assert some(2, start=3) == whole[3:]
    cfg.DATALOADER.NUM_WORKERS = 0
    with pytest.raises(UsageError, match="None for each of the 7 training images"):
        next(iter(build_train_loader(cfg, mapper=lambda record: None)))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_test_loader_leaves_such_images_out(cfg, batch_size):
    cfg.TEST.IMS_PER_BATCH = batch_size
    served = [record["file_name"] for batch in build_test_loader(cfg, "test_build", odd_only) for record in batch]
    assert served == ["1", "3", "5"]


def test_a_loader_takes_the_start_that_the_trainer_gives(cfg):
    with starting_at(start_iteration=2, seed=5) as start:
        loader = build_train_loader(cfg, mapper=number_of)
    assert start.taken and next(iter(loader)) == next(iter(build_train_loader(cfg, 2, 5, mapper=number_of)))
    assert next(iter(build_train_loader(cfg, mapper=number_of))) == batches(cfg, 1)[0]
