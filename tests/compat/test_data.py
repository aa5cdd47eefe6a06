"""Samplers, loaders, the mapper and augmentations. Recorded numbers are those of the real Detectron2."""

import itertools

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import (
    DatasetCatalog,
    DatasetFromList,
    DatasetMapper,
    MapDataset,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.data.samplers import InferenceSampler, TrainingSampler
from detectron2.utils import comm
from PIL import Image


def first(iterable, n):
    return list(itertools.islice(iter(iterable), n))


@pytest.fixture
def as_rank(monkeypatch):
    def pretend(rank, world_size):
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        monkeypatch.setattr(comm, "get_world_size", lambda: world_size)

    return pretend


def test_training_sampler():
    recorded = [0, 1, 3, 2, 4, 3, 4, 1, 2, 0, 3, 2]
    assert first(TrainingSampler(5, seed=7), 12) == recorded
    assert first(TrainingSampler(5, shuffle=False), 7) == [0, 1, 2, 3, 4, 0, 1]
    np.random.seed(3)
    assert first(TrainingSampler(7), 10) == [1, 5, 2, 0, 3, 6, 4, 1, 2, 4]  # a seed drawn from numpy
    with pytest.raises(ValueError):
        TrainingSampler(0)
    with pytest.raises(TypeError):
        len(TrainingSampler(3, seed=0))


def test_training_sampler_shares_one_stream(as_rank):
    whole = first(TrainingSampler(5, seed=7), 12)
    for rank in range(3):
        as_rank(rank, 3)
        assert first(TrainingSampler(5, seed=7), 4) == whole[rank::3]


def test_inference_sampler(as_rank):
    shares = []
    for rank in range(3):
        as_rank(rank, 3)
        sampler = InferenceSampler(8)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
    assert shares == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_load_sem_seg(sem_seg_set, tmp_path):
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    records = DatasetCatalog.get(sem_seg_set)
    assert [record["file_name"] for record in records] == [str(tmp_path / f"images/i{i}.jpg") for i in range(5)]
    assert [r["sem_seg_file_name"] for r in records] == [str(tmp_path / f"labels/i{i}.png") for i in range(5)]
    (tmp_path / "images" / "i3.jpg").unlink()
    assert len(DatasetCatalog.get(sem_seg_set)) == 4


def test_dataset_dicts(sem_seg_set):
    assert len(get_detection_dataset_dicts(sem_seg_set)) == 5
    with pytest.raises(AssertionError):
        get_detection_dataset_dicts([])
    DatasetCatalog.register("empty_interface_test", list)
    with pytest.raises(AssertionError, match="empty_interface_test"):
        get_detection_dataset_dicts("empty_interface_test")
    DatasetCatalog.remove("empty_interface_test")


@pytest.mark.parametrize("serialize", [True, False])
def test_dataset_from_list(serialize):
    items = [{"a": [i]} for i in range(3)]
    data = DatasetFromList(items, serialize=serialize)
    data[1]["a"].append(9)
    assert len(data) == 3 and [data[i] for i in range(3)] == [{"a": [0]}, {"a": [1]}, {"a": [2]}]


def test_map_dataset_tries_others_for_none():
    data = MapDataset(DatasetFromList([1, 2, 3]), lambda x: x * 10 if x != 2 else None)
    assert (data[0], data[2]) == (10, 30)
    assert data[1] in (10, 30)


@pytest.mark.parametrize("workers", [0, 2])
def test_train_loader(workers):
    loader = build_detection_train_loader(
        list(range(7)),
        mapper=float,
        sampler=TrainingSampler(7, seed=1),
        total_batch_size=3,
        aspect_ratio_grouping=False,
        num_workers=workers,
    )
    assert first(loader, 6) == [[0, 6, 1], [3, 5, 2], [4, 0, 6], [1, 3, 2], [4, 5, 5], [6, 0, 3]]


def test_train_loader_groups_by_aspect():
    records = [{"width": w, "height": 10, "i": i} for i, w in enumerate([20, 5, 10, 5, 20, 30, 2])]
    loader = build_detection_train_loader(
        records, mapper=dict, sampler=TrainingSampler(7, seed=3), total_batch_size=2
    )
    batches = [[item["i"] for item in batch] for batch in first(loader, 8)]
    assert batches == [[5, 4], [3, 6], [2, 1], [2, 6], [3, 1], [0, 5], [0, 4], [6, 3]]
    loader = build_detection_train_loader(
        records, mapper=dict, sampler=TrainingSampler(7, seed=3), total_batch_size=2, collate_fn=len
    )
    assert first(loader, 2) == [2, 2]


def test_an_empty_batch_is_refused():
    with pytest.raises(AssertionError):
        build_detection_train_loader([1, 2], mapper=None, sampler=TrainingSampler(2, seed=0), total_batch_size=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_test_loader_from_config(sem_seg_set, workers):
    cfg = get_cfg()
    cfg.DATALOADER.NUM_WORKERS = workers
    loader = build_detection_test_loader(cfg, sem_seg_set)
    assert len(loader) == 5
    assert [[item["file_name"][-6:] for item in batch] for batch in loader] == [[f"i{i}.jpg"] for i in range(5)]
    loader = build_detection_test_loader(list(range(5)), mapper=float, batch_size=2)
    assert list(loader) == [[0.0, 1.0], [2.0, 3.0], [4.0]]


def test_train_loader_from_config(sem_seg_set):
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = (sem_seg_set,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.INPUT.MIN_SIZE_TRAIN = (16,)
    for batch in first(build_detection_train_loader(cfg), 3):
        assert len(batch) == 2 and all(item["image"].shape[0] == 3 for item in batch)
    names = build_detection_train_loader(cfg, mapper=lambda r: {**r, "width": 1, "height": 2, "seen": True})
    assert all(item["seen"] for item in next(iter(names)))


def test_mapper_for_evaluation(sem_seg_set):
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST, cfg.INPUT.FORMAT = 16, 20, "RGB"
    record = DatasetCatalog.get(sem_seg_set)[0]
    item = DatasetMapper(cfg, is_train=False)(record)
    assert item["file_name"] == record["file_name"] and (item["height"], item["width"]) == (20, 30)
    assert "sem_seg_file_name" in record and "sem_seg_file_name" not in item
    assert item["image"].shape == (3, 13, 20) and item["image"].dtype == torch.uint8
    expected = Image.open(record["file_name"]).resize((20, 13), Image.BILINEAR)
    assert np.array_equal(item["image"].numpy(), np.asarray(expected).transpose(2, 0, 1))


def test_zero_keeps_the_size(sem_seg_set):
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TEST = 0
    assert DatasetMapper(cfg, False)(DatasetCatalog.get(sem_seg_set)[3])["image"].shape == (3, 40, 20)


def test_mapper_for_training(sem_seg_set, log):
    cfg = get_cfg()
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (16, 32), 50
    cfg.INPUT.CROP.ENABLED, cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE = True, "absolute", [10, 10]
    mapper = DatasetMapper(cfg, is_train=True)
    assert (
        "Augmentations used in training: [RandomCrop(crop_type='absolute', crop_size=[10, 10]), "
        "ResizeShortestEdge(short_edge_length=(16, 32), max_size=50, sample_style='choice'), RandomFlip()]" in log.text
    )
    np.random.seed(0)
    items = [mapper(record) for record in DatasetCatalog.get(sem_seg_set)[:3]]
    assert [tuple(item["image"].shape) for item in items] == [(3, 32, 32), (3, 32, 32), (3, 16, 16)]  # recorded
    for item in items:
        assert item["sem_seg"].dtype == torch.int64 and item["sem_seg"].shape == item["image"].shape[1:]
        assert set(item["sem_seg"].unique().tolist()) <= {0, 1, 2, 3, 255}


def test_read_image(tmp_path):
    path = str(tmp_path / "a.png")
    pixels = np.random.RandomState(0).randint(0, 255, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    assert np.array_equal(utils.read_image(path, "RGB"), pixels)
    assert np.array_equal(utils.read_image(path, "BGR"), pixels[:, :, ::-1])
    assert utils.read_image(path, "L").shape == (4, 5, 1)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    Image.fromarray(pixels).save(str(tmp_path / "b.jpg"), exif=turned)
    assert utils.read_image(str(tmp_path / "b.jpg"), "RGB").shape == (5, 4, 3)


def test_image_size_is_checked():
    record = {"file_name": "x.jpg"}
    utils.check_image_size(record, np.zeros((4, 5, 3)))
    assert (record["height"], record["width"]) == (4, 5)
    with pytest.raises(utils.SizeMismatchError, match="x.jpg"):
        utils.check_image_size({**record, "width": 6}, np.zeros((4, 5, 3)))


IMAGE = np.random.RandomState(1).randint(0, 255, (50, 70, 3)).astype(np.uint8)
LABELS = 30 * np.random.RandomState(2).randint(0, 3, (50, 70)).astype(np.uint8)
# An augmentation, the transform that the real one draws with numpy's seed 0, and the output's (height, width).
RESIZED = "ResizeTransform(h=50, w=70, new_h={}, new_w={}, interp=2)"
DRAWN = [
    (T.ResizeShortestEdge((20, 40), 60, "range"), RESIZED.format(32, 45), (32, 45)),
    (T.ResizeShortestEdge([20, 40], 50, "choice"), RESIZED.format(20, 28), (20, 28)),
    (T.ResizeShortestEdge(40, 50), RESIZED.format(36, 50), (36, 50)),
    (T.ResizeShortestEdge(0), "NoOpTransform()", (50, 70)),
    (T.RandomFlip(), "NoOpTransform()", (50, 70)),
    (T.RandomFlip(0.6), "HFlipTransform(width=70)", (50, 70)),
    (T.RandomFlip(1.0, horizontal=False, vertical=True), "VFlipTransform(height=50)", (50, 70)),
    (T.RandomCrop("relative", (0.5, 0.6)), None, (25, 42)),
    (T.RandomCrop("relative_range", (0.5, 0.6)), None, (39, 62)),
    (T.RandomCrop("absolute", (20, 90)), None, (20, 70)),
    (T.RandomCrop("absolute_range", (20, 40)), None, (32, 35)),
    (T.RandomCrop_CategoryAreaConstraint("absolute", (20, 30), 0.335, 255), None, (20, 30)),
]


@pytest.mark.parametrize(("augmentation", "expected", "size"), DRAWN, ids=[repr(row[0]) for row in DRAWN])
def test_augmentations_draw_the_same(augmentation, expected, size):
    np.random.seed(0)
    inputs = T.AugInput(IMAGE.copy(), sem_seg=LABELS.copy())
    transform = inputs.apply_augmentations([augmentation])
    if expected:
        assert repr(transform[0]) == expected
    assert inputs.image.shape == (*size, 3) and inputs.sem_seg.shape == size
    assert inputs.image.dtype == np.uint8 and inputs.sem_seg.dtype == np.uint8
    assert set(np.unique(inputs.sem_seg)) <= {0, 30, 60}  # never a mean
    # The returned transform does the same to other data.
    assert np.array_equal(transform.apply_image(IMAGE), inputs.image)
    assert np.array_equal(transform.apply_segmentation(LABELS), inputs.sem_seg)


def test_area_constraint_draws_again():
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 30:] = 1  # few crops have a fair share of both
    labels[:5] = 255
    crop = T.RandomCrop_CategoryAreaConstraint("absolute", (10, 10), 0.75, 255)
    shares = []
    np.random.seed(0)
    for _ in range(20):
        inputs = T.AugInput(np.zeros((40, 40, 3), np.uint8), sem_seg=labels)
        crop(inputs)
        counts = np.bincount(inputs.sem_seg.reshape(-1), minlength=256)[:2]
        shares.append(counts.max() / counts.sum())
    assert np.mean([share < 0.75 for share in shares]) > 0.6  # without the constraint, an eighth


def test_augmentation_list_and_missing_labels():
    both = T.AugmentationList([T.RandomFlip(1.0), T.NoOpTransform()])
    inputs = T.AugInput(IMAGE.copy())
    assert np.array_equal(both(inputs).apply_image(IMAGE), inputs.image)
    assert np.array_equal(inputs.image, IMAGE[:, ::-1])
    with pytest.raises(AttributeError):
        T.RandomCrop_CategoryAreaConstraint("absolute", (5, 5), 0.5)(T.AugInput(IMAGE))


def test_own_augmentation_sees_what_it_names():
    class Fixed(T.Augmentation):
        def get_transform(self, image, sem_seg):
            return T.CropTransform(0, 0, int(sem_seg.max()) + 1, image.shape[0] // 10)

    inputs = T.AugInput(IMAGE, sem_seg=LABELS)
    assert isinstance(Fixed()(inputs), T.Transform)
    assert inputs.image.shape == (5, 61, 3)


def test_float_images_resize_without_antialiasing():
    transform = T.ResizeTransform(50, 70, 20, 33)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(IMAGE.astype(np.float32)).permute(2, 0, 1)[None], (20, 33), mode="bilinear"
    )
    resized = transform.apply_image(IMAGE.astype(np.float32))
    assert np.allclose(resized, expected[0].permute(1, 2, 0).numpy(), atol=1e-3) and resized.dtype == np.float32
