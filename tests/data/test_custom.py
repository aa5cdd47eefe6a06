"""Data sets from a YAML file alone: registered, checked, trained on and evaluated through errseg's own loaders."""

import itertools
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

import errseg
from errseg.data import (
    DataChecksum,
    LabelReader,
    apply_dataset_option,
    build_test_loader,
    build_train_loader,
    check_labels,
    is_dataset_file,
    register_dataset_files,
    require_dataset,
)
from errseg.data.files import read_image_size, read_rgb
from errseg.errors import UsageError
from errseg.evaluation import evaluate

from .third_party import NAMES, write_dataset, write_pair, write_yaml


@pytest.fixture
def towns(tmp_path):
    """A registered data set of six images."""
    path = str(write_dataset(tmp_path))
    register_dataset_files([path])
    return path


def test_a_file_is_registered_under_its_path(towns):
    metadata = MetadataCatalog.get(towns)
    require_dataset(towns)
    assert metadata.paper_name == "towns" and metadata.stuff_classes == metadata.prompts == NAMES
    assert (metadata.ignore_label, metadata.num_classes_test, metadata.evaluator_type) == (255, None, "sem_seg")
    assert (metadata.domain, metadata.num_images) == ("", None)
    records = DatasetCatalog.get(towns)
    assert len(records) == 6 and records[0]["sem_seg_file_name"].endswith("masks/north/000.png")


def test_again_and_beside_other_names(towns):
    before = DatasetCatalog.get(towns)
    register_dataset_files(["coco_2017_test_stuff_all_sem_seg", towns, towns])
    assert DatasetCatalog.get(towns) == before and DatasetCatalog.list().count(towns) == 1
    write_yaml(Path(towns), names=["a", "b", "c"])
    register_dataset_files([towns])
    assert MetadataCatalog.get(towns).stuff_classes == ["a", "b", "c"]
    assert is_dataset_file("a/My.YML") and not is_dataset_file("ade20k_150_test_sem_seg")


def test_train_and_evaluate(towns, tiny_cfg, tmp_path):
    """From the YAML file to a training step and to scores: ids on disk are reduced by one, and void is ignored."""
    cfg = tiny_cfg
    apply_dataset_option(cfg, towns, False, [])
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.SIZE_DIVISIBILITY = (48,), 64
    cfg.INPUT.COLOR_AUG_SSD, cfg.INPUT.RANDOM_FLIP, cfg.INPUT.CROP.ENABLED = False, "none", False
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = 2, 0
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    model = errseg.build_model(cfg)
    model.set_vocabulary(MetadataCatalog.get(towns).prompts)
    model.train()
    for batch in itertools.islice(build_train_loader(cfg), 2):
        for item in batch:
            on_disk = np.asarray(Image.open(item["sem_seg_file_name"])).astype(int)
            assert np.array_equal(item["sem_seg"][:48], np.where(on_disk == 0, 255, on_disk - 1))
            assert (item["sem_seg"][48:] == 255).all()
        sum(model(batch).values()).backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    cfg.INPUT.MIN_SIZE_TEST = 48
    assert len(list(build_test_loader(cfg, towns))) == 6
    model.eval()
    with torch.no_grad():
        result = evaluate(cfg, model, cfg.DATASETS.TEST)[towns]
    assert result["paper_name"] == "towns" and result["num_classes_test"] == 3
    assert [iou is not None for iou in result["iou"]] == [True] * 3
    checksum, read = DataChecksum(), LabelReader(towns)
    for record in DatasetCatalog.get(towns):
        checksum.add(record["file_name"], read(record["sem_seg_file_name"], record["file_name"], (48, 64)))
    assert result["checksum"] == checksum.hexdigest()


def test_the_option_changes_the_keys_that_were_not_given(towns, tiny_cfg):
    cfg = tiny_cfg.clone()
    cfg.DATASETS.TRAIN = ("coco_2017_train_stuff_all_sem_seg",)
    apply_dataset_option(cfg, towns, True, [])
    assert cfg.DATASETS.TEST == (towns,) and cfg.DATASETS.TRAIN == ("coco_2017_train_stuff_all_sem_seg",)
    cfg = tiny_cfg.clone()
    cfg.DATASETS.TEST = ("ade20k_150_test_sem_seg",)
    apply_dataset_option(cfg, towns, False, ["DATASETS.TEST", "('ade20k_150_test_sem_seg',)"])
    assert cfg.DATASETS.TRAIN == (towns,) and cfg.DATASETS.TEST == ("ade20k_150_test_sem_seg",)
    assert cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE == 255


@pytest.mark.parametrize(("eval_only", "key"), [(True, "DATASETS.TEST"), (False, "DATASETS.TRAIN")])
def test_the_option_and_the_key_that_it_replaces_are_not_given_both(towns, tiny_cfg, eval_only, key):
    with pytest.raises(UsageError, match=f"--dataset and {key} are both given; keep one"):
        apply_dataset_option(tiny_cfg, towns, eval_only, [key, "()"])


def test_the_option_takes_data_set_files_alone(tiny_cfg, tmp_path):
    with pytest.raises(UsageError, match="--dataset ade20k_150_test_sem_seg is no data-set file"):
        apply_dataset_option(tiny_cfg, "ade20k_150_test_sem_seg", True, [])
    with pytest.raises(UsageError, match="gone.yaml does not exist"):
        apply_dataset_option(tiny_cfg, str(tmp_path / "gone.yaml"), True, [])


@pytest.mark.parametrize(("count", "expected"), [(255, 255), (256, 65535)])
def test_the_option_makes_room_for_many_names(tiny_cfg, tmp_path, count, expected):
    names = [f"name {i}" for i in range(count)]
    path = str(write_dataset(tmp_path, names=names))
    apply_dataset_option(tiny_cfg, path, False, [])
    assert tiny_cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE == expected
    given = ["MODEL.SEM_SEG_HEAD.IGNORE_VALUE", "40000"]
    tiny_cfg.merge_from_list(given)
    apply_dataset_option(tiny_cfg, path, False, given)
    assert tiny_cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE == 40000


@pytest.mark.parametrize("workers", [1, 2])
def test_labels_are_checked(towns, tmp_path, caplog, workers):
    with caplog.at_level(logging.INFO):
        check_labels(towns, workers)
    assert "6 labels, 3 of 3 names in them" in caplog.text
    ids = np.full((48, 64), 4, np.uint8)
    Image.fromarray(ids).save(tmp_path / "masks/south/003.png")
    with pytest.raises(UsageError, match="003.png holds the id 4, .* only 0 to 3; .* label_offset .* in .*towns.yaml"):
        check_labels(towns, workers)
    Image.fromarray(ids[:40]).save(tmp_path / "masks/south/003.png")
    with pytest.raises(UsageError, match="003.jpg has 64 × 48 pixels, its label .* 64 × 40"):
        check_labels(towns, workers)
    (tmp_path / "pictures/south/003.jpg").write_text("no image")
    with pytest.raises(UsageError, match="image .*003.jpg cannot be read"):
        check_labels(towns, workers)


def test_names_that_no_label_holds_are_told(tmp_path, caplog):
    path = str(write_dataset(tmp_path, names=[*NAMES, *(f"more {i}" for i in range(11))]))
    register_dataset_files([path])
    check_labels(path, 1)
    assert "no label holds 11 of 14 names: more 0, more 1" in caplog.text and caplog.text.rstrip().endswith("more 9, …")


def test_labels_that_are_ignored_altogether_are_refused(tmp_path):
    """Binary masks of 0 and 255, with the default ignore label: only the background would be left."""
    write_pair(tmp_path / "pictures/0.jpg", tmp_path / "masks/0.png", np.full((4, 4), 255, np.uint8))
    path = str(write_yaml(tmp_path / "masks.yaml", ignore=None, label_offset=None))
    register_dataset_files([path])
    with pytest.raises(UsageError, match="Every pixel of the 1 labels of .*masks.yaml is ignored"):
        check_labels(path, 1)


def test_the_size_of_an_image_turned_by_its_exif_orientation(tmp_path):
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = str(tmp_path / f"{orientation}.jpg")
        Image.new("RGB", (8, 6)).save(path, exif=exif)
        assert read_image_size(path) == read_rgb(path).shape[:2] == ((6, 8) if orientation < 5 else (8, 6))
