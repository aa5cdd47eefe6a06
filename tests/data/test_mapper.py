"""Reading images and labels, and the errors that name a bad file."""

import numpy as np
import pytest
import torch
from detectron2.data import transforms as T
from PIL import Image

from errseg.config import get_cfg
from errseg.data import LabelReader, SemSegMapper, register_sem_seg
from errseg.data.build import TrainingStream
from errseg.data.files import read_label
from errseg.errors import UsageError


@pytest.fixture
def record(tmp_path):
    """An image of 6 × 8 pixels, and a label of three classes with a column ignored."""
    image, label = tmp_path / "image.png", tmp_path / "label.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(image)
    ids = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    ids[:, 0] = 255
    Image.fromarray(ids).save(label)
    return {"file_name": str(image), "sem_seg_file_name": str(label)}


def mapper(augmentations=(), num_classes=3, dataset_ignore_label=255, ignore_label=255, label_map=None):
    names = [f"class {index}" for index in range(num_classes)]
    register_sem_seg("test_mapper", "", "", names, ignore_label=dataset_ignore_label, label_map=label_map)
    return SemSegMapper(list(augmentations), labels=LabelReader("test_mapper"), ignore_label=ignore_label)


def test_image_and_label_arrive_as_they_are(record):
    before = dict(record)
    out = mapper()(record)
    assert record == before
    assert out["image"].dtype == torch.uint8 and out["image"].shape == (3, 6, 8)
    assert np.array_equal(out["image"].permute(1, 2, 0), Image.open(record["file_name"]))
    assert out["sem_seg"].dtype == torch.int64
    assert np.array_equal(out["sem_seg"], Image.open(record["sem_seg_file_name"]))
    assert (out["height"], out["width"], out["file_name"]) == (6, 8, record["file_name"])


def test_a_label_without_a_pixel_that_counts_makes_none(record, tmp_path):
    """As the only class of an image is held out; the loader takes another image then."""
    hold_out = mapper(label_map={0: 255, 1: 255, 2: 0, 255: 255}, num_classes=1)
    assert hold_out(record)["sem_seg"].unique().tolist() == [0, 255]
    Image.fromarray(np.uint8(np.arange(48).reshape(6, 8) % 2)).save(tmp_path / "unseen.png")
    assert hold_out({**record, "sem_seg_file_name": str(tmp_path / "unseen.png")}) is None
    stream = TrainingStream([{**record, "sem_seg_file_name": str(tmp_path / "unseen.png")}, record], hold_out, seed=0)
    assert all(stream[i]["sem_seg_file_name"] == record["sem_seg_file_name"] for i in range(6))


def test_both_get_the_same_augmentation(record):
    plain = mapper()(record)
    flipped = mapper(augmentations=[T.RandomFlip(prob=1.0)])(record)
    assert torch.equal(flipped["image"], plain["image"].flip(2))
    assert torch.equal(flipped["sem_seg"], plain["sem_seg"].flip(1))


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_sixteen_bit_labels_are_read_and_resized_whole(tmp_path, record, suffix):
    path = tmp_path / f"label16.{suffix}"
    ids = np.full((6, 8), 800, np.uint16)
    ids[:, 0] = 65535
    Image.fromarray(ids).save(path)
    assert np.array_equal(read_label(str(path)), ids)
    arguments = {"num_classes": 847, "dataset_ignore_label": 65535, "ignore_label": 65535}
    out = mapper(augmentations=[T.ResizeShortestEdge(12, 100, "choice")], **arguments)(
        {**record, "sem_seg_file_name": str(path)}
    )
    assert out["sem_seg"].shape == (12, 16) and set(out["sem_seg"].unique().tolist()) == {800, 65535}


def test_palette_labels_give_their_indices(tmp_path):
    image = Image.new("P", (4, 4), color=7)
    image.putpalette([0, 0, 0] * 7 + [200, 10, 10])
    image.save(tmp_path / "palette.png")
    assert (read_label(str(tmp_path / "palette.png")) == 7).all()


def test_the_ignore_label_on_disk_becomes_the_models(tmp_path, record):
    ids = np.zeros((6, 8), np.uint8)
    ids[0] = 3
    Image.fromarray(ids).save(tmp_path / "label3.png")
    out = mapper(dataset_ignore_label=3)({**record, "sem_seg_file_name": str(tmp_path / "label3.png")})
    assert (out["sem_seg"][0] == 255).all() and (out["sem_seg"][1:] == 0).all()


def test_an_ignore_label_that_is_a_class_is_refused():
    with pytest.raises(UsageError, match="IGNORE_VALUE 255 is a class.*set it to 65535"):
        mapper(num_classes=847, dataset_ignore_label=65535)


@pytest.mark.parametrize("key", ["file_name", "sem_seg_file_name"])
@pytest.mark.parametrize("damage", ["truncated", "text", "missing"])
def test_a_bad_file_is_named(tmp_path, record, key, damage):
    path = tmp_path / f"{damage}.png"
    if damage == "truncated":
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:2000])
    elif damage == "text":
        path.write_text("not an image")
    with pytest.raises(UsageError, match=f"{path}.*restore it or take it out"):
        mapper()({**record, key: str(path)})


def test_an_image_beyond_the_limit_is_named(monkeypatch, record):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(UsageError, match="image.png has more than 40 pixels"):
        mapper()(record)


def test_sizes_that_disagree_and_unknown_ids_are_named(tmp_path, record):
    Image.fromarray(np.zeros((8, 6), np.uint8)).save(tmp_path / "turned.png")
    with pytest.raises(UsageError, match="image.png has 8 × 6 pixels, its label .*turned.png 6 × 8"):
        mapper()({**record, "sem_seg_file_name": str(tmp_path / "turned.png")})
    with pytest.raises(UsageError, match="label.png holds the id 2, but .* 2 names"):
        mapper(num_classes=2)(record)


def test_a_label_of_several_channels_is_refused(record):
    with pytest.raises(UsageError, match="one class id a pixel"):
        mapper()({**record, "sem_seg_file_name": record["file_name"]})


def test_from_config(tmp_path, record):
    register_sem_seg("test_mapper", tmp_path, tmp_path, ["a", "b", "c"], ignore_label=254)
    cfg = get_cfg()
    cfg.DATASETS.TRAIN = ("test_mapper",)
    built = SemSegMapper(cfg)
    assert (built.labels.num_classes, built.labels.ignore_label, built.ignore_label) == (3, 254, 255)
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 12, 100
    out = SemSegMapper(cfg, is_train=False)(record)
    assert out["image"].shape == (3, 12, 16) and (out["height"], out["width"]) == (6, 8) and "sem_seg" not in out
    cfg.INPUT.FORMAT = "BGR"
    with pytest.raises(UsageError, match="INPUT.FORMAT"):
        SemSegMapper(cfg)


def test_an_image_too_narrow_to_resize_is_named(tmp_path):
    path = tmp_path / "line.png"
    Image.fromarray(np.zeros((1, 3000, 3), np.uint8)).save(path)
    with pytest.raises(UsageError, match="line.png of 3000 × 1 pixels cannot be resized .*; change them"):
        SemSegMapper(get_cfg(), is_train=False)({"file_name": str(path)})
