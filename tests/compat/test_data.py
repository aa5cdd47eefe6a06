"""Catalogs, samplers, loaders and augmentations. Recorded numbers are those of the real Detectron2."""

import itertools

import numpy as np
import pytest
import torch
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from detectron2.data.samplers import InferenceSampler
from detectron2.utils import comm
from PIL import Image


def first(iterable, n):
    return list(itertools.islice(iter(iterable), n))


@pytest.fixture
def as_rank(monkeypatch):
    def pretend(rank, world_size):
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        monkeypatch.setattr(comm, "get_world_size", lambda: world_size)
        monkeypatch.setattr("detectron2.data.build.get_world_size", lambda: world_size, raising=False)  # the real one's

    return pretend


def test_inference_sampler(as_rank):
    shares = []
    for rank in range(3):
        as_rank(rank, 3)
        sampler = InferenceSampler(8)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
    assert shares == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_dataset_dicts(sem_seg_set):
    assert len(get_detection_dataset_dicts(sem_seg_set)) == 5
    with pytest.raises(AssertionError):
        get_detection_dataset_dicts([])
    DatasetCatalog.register("empty_interface_test", list)
    with pytest.raises(AssertionError, match="empty_interface_test"):
        get_detection_dataset_dicts("empty_interface_test")
    DatasetCatalog.remove("empty_interface_test")


class Stream(torch.utils.data.Sampler):
    def __iter__(self):
        return itertools.cycle([0, 6, 1, 3, 5])


def train_loader(**arguments):
    arguments = {"mapper": float, "sampler": Stream(), "total_batch_size": 3, **arguments}
    return build_detection_train_loader(list(range(7)), aspect_ratio_grouping=False, **arguments)


@pytest.mark.parametrize("workers", [0, 2])
def test_train_loader(workers):
    assert first(train_loader(num_workers=workers), 3) == [[0, 6, 1], [3, 5, 0], [6, 1, 3]]
    assert first(train_loader(mapper=None, num_workers=workers), 1) == [[0, 6, 1]]


def test_a_process_takes_its_share_of_a_batch(as_rank):
    as_rank(1, 3)
    assert first(train_loader(total_batch_size=6), 2) == [[0, 6], [1, 3]]


@pytest.mark.parametrize(("size", "world_size"), [(0, 1), (4, 3)])
def test_a_batch_that_does_not_divide_is_refused(size, world_size, as_rank):
    as_rank(0, world_size)
    with pytest.raises(AssertionError):
        train_loader(total_batch_size=size)


@pytest.mark.parametrize("workers", [0, 2])
def test_test_loader(sem_seg_set, workers):
    records = get_detection_dataset_dicts(sem_seg_set)
    loader = build_detection_test_loader(records, mapper=dict, num_workers=workers)
    assert len(loader) == 5 and list(loader) == [[record] for record in records]
    loader = build_detection_test_loader(list(range(5)), mapper=float, batch_size=2, num_workers=workers)
    assert list(loader) == [[0.0, 1.0], [2.0, 3.0], [4.0]]


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


@pytest.mark.parametrize(("augmentation", "expected", "size"), DRAWN, ids=[type(row[0]).__name__ for row in DRAWN])
def test_augmentations_draw_the_same(augmentation, expected, size):
    np.random.seed(0)
    inputs = T.AugInput(IMAGE.copy(), sem_seg=LABELS.copy())
    transform = T.AugmentationList([augmentation])(inputs)
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


class Named(T.Augmentation):
    input_args = ("sem_seg",)

    def __init__(self, low, high=2.0, size=None):
        super().__init__()
        self._init(locals())

    def get_transform(self, label):
        assert label.ndim == 2
        assert 0 <= self._rand_range(self.low) <= self.low
        assert self._rand_range(1.0, self.high, 3).shape == (3,)
        return T.NoOpTransform()


def test_what_augmentations_of_ones_own_rely_on():
    inputs = T.AugInput(np.zeros((4, 5, 3), np.uint8), sem_seg=np.zeros((4, 5), np.uint8))
    Named(1.0)(inputs)
    assert repr(Named(1.0, 3.0)) == "Named(low=1.0, high=3.0)"
    assert repr(T.RandomFlip(0.3, horizontal=False, vertical=True)) == (
        "RandomFlip(prob=0.3, horizontal=False, vertical=True)"
    )


def test_floating_point_images_are_resized_bicubically():
    image = np.random.RandomState(0).rand(4, 6, 3).astype(np.float32)
    resized = T.ResizeTransform(4, 6, 8, 12, Image.BICUBIC).apply_image(image)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image).permute(2, 0, 1)[None], (8, 12), mode="bicubic", align_corners=False
    )
    np.testing.assert_array_equal(resized, expected[0].permute(1, 2, 0).numpy())


def test_load_sem_seg_pairs_by_name(tmp_path, log):
    from detectron2.data.datasets import load_sem_seg

    for folder, names in {"images": ("b.jpg", "a.jpg", "c.jpg"), "labels": ("a.png", "b.png", "x.txt")}.items():
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    records = load_sem_seg(str(tmp_path / "labels"), str(tmp_path / "images"))
    assert [(r["file_name"][-5:], r["sem_seg_file_name"][-5:]) for r in records] == [
        ("a.jpg", "a.png"),
        ("b.jpg", "b.png"),
    ]


def test_another_record_is_taken_for_one_that_the_mapper_leaves_out():
    def odd(x):
        return x if x % 2 else None

    sampler = torch.utils.data.SequentialSampler(range(4))
    loader = build_detection_train_loader(
        [0, 1, 2, 3], mapper=odd, sampler=sampler, total_batch_size=2, aspect_ratio_grouping=False
    )
    served = [x for batch in loader for x in batch]
    assert len(served) == 4 and set(served) <= {1, 3}


def test_dataset_catalog():
    DatasetCatalog.register("interface_test", lambda: [{"file_name": "a"}])
    try:
        assert DatasetCatalog.get("interface_test") == [{"file_name": "a"}]
        assert "interface_test" in DatasetCatalog and "interface_test" in DatasetCatalog.list()
        with pytest.raises(AssertionError, match="interface_test"):
            DatasetCatalog.register("interface_test", list)
    finally:
        DatasetCatalog.remove("interface_test")
    with pytest.raises(KeyError, match="interface_test.* not registered"):
        DatasetCatalog.get("interface_test")


def test_metadata():
    meta = MetadataCatalog.get("interface_test")
    assert meta.set(stuff_classes=["a"], ignore_label=255) is meta
    assert MetadataCatalog.get("interface_test") is meta
    palette = np.eye(3)
    assert meta.set(stuff_colors=palette).stuff_colors is palette
    assert (meta.name, meta.ignore_label, meta.get("nothing", 3)) == ("interface_test", 255, 3)
    meta.ignore_label = 255  # the same value again
    with pytest.raises(AssertionError, match="ignore_label"):
        meta.ignore_label = 0
    with pytest.raises(AttributeError, match="nothing.*interface_test"):
        _ = meta.nothing
    assert not hasattr(meta, "nothing")
    MetadataCatalog.remove("interface_test")
    assert MetadataCatalog.get("interface_test").get("ignore_label") is None
    MetadataCatalog.remove("interface_test")
