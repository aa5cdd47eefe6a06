"""Regions: found in the labels, drawn once, and known to later runs."""

import itertools
import json
import os
from collections import Counter

import numpy as np
import pytest
from detectron2.utils import comm
from PIL import Image

from errseg.config import get_cfg
from errseg.data import build_train_loader, regions, register_sem_seg
from errseg.data.labels import LabelReader
from errseg.data.regions import classes_of_labels, draw_regions, region_records
from errseg.errors import UsageError

LABELS = ([[0, 0], [2, 255]], [[1, 1], [1, 1]], [[255, 255], [255, 255]], [[2, 0], [1, 3]])
NAME = "test_regions"


@pytest.fixture
def cfg(tmp_path):
    """A configuration with four labels of four classes, the last of which the data set ignores."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i, label in enumerate(LABELS):
        Image.fromarray(np.uint8(label)).save(tmp_path / f"labels/{i}.png")
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (2, 2, 3), np.uint8)).save(
            tmp_path / f"images/{i}.jpg"
        )
    label_map = {0: 0, 1: 1, 2: 2, 3: 255, 255: 255}
    register_sem_seg(NAME, tmp_path / "images", tmp_path / "labels", ["a", "b", "c"], label_map=label_map)
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    return cfg


def found(cfg, is_train=False):
    records = region_records(cfg, [NAME], is_train)
    return [(int(os.path.basename(each["sem_seg_file_name"])[0]), each["class_id"]) for each in records]


ALL = [(0, 0), (0, 2), (1, 1), (3, 0), (3, 1), (3, 2)]


def test_a_region_for_each_class_of_each_image_without_ignored_ones(cfg):
    assert found(cfg) == ALL
    record = region_records(cfg, [NAME], False)[1]
    assert record["file_name"].endswith("images/0.jpg") and set(record) == {
        "file_name",
        "sem_seg_file_name",
        "class_id",
    }


def test_several_data_sets_are_drawn_from_together(cfg):
    cfg.DATASETS.REGIONS_PER_CLASS = 0
    twice = [(record["class_id"]) for record in region_records(cfg, [NAME, NAME], True)]
    assert twice == [0] * 4 + [1] * 4 + [2] * 4


def test_training_draws_by_the_keys(cfg):
    cfg.DATASETS.REGIONS_PER_CLASS = 3
    assert found(cfg, is_train=True) == sorted(ALL, key=lambda region: (region[1], region[0]))  # each class has two
    cfg.DATASETS.REGIONS_PER_CLASS = 1
    draws = set()
    for seed in range(8):
        cfg.DATASETS.REGIONS_SEED = seed
        drawn = found(cfg, is_train=True)
        assert drawn == found(cfg, is_train=True) and [i for _, i in drawn] == [0, 1, 2] and set(drawn) <= set(ALL)
        draws.add(tuple(drawn))
    assert len(draws) > 1


def test_drawing_is_with_replacement_and_at_most_so_many():
    records = [{"class_id": i, "number": n} for n in range(40) for i in ((0, 1) if n < 31 else (0,))]
    drawn = draw_regions(records, 32)
    assert Counter(each["class_id"] for each in drawn) == {0: 32, 1: 31}
    numbers = Counter(each["number"] for each in drawn if each["class_id"] == 0)
    assert max(numbers.values()) > 1 and len(numbers) > 10
    assert [each["number"] for each in drawn if each["class_id"] == 1] == list(range(31))
    assert draw_regions(records, 32) == drawn != draw_regions(records, 32, seed=1)
    assert len(draw_regions(records, 0)) == len(records)


def test_a_later_start_and_workers_give_the_same_crops(cfg):
    """The stream of regions is as exact as that of images: order, crops and flips depend on the position alone."""
    cfg.merge_from_list(["MODEL.META_ARCHITECTURE", "DeOPPrompt", "INPUT.RESOLUTION_TRAIN", 64, "SEED", 3])
    cfg.merge_from_list(["SOLVER.IMS_PER_BATCH", 4, "DATASETS.TRAIN", (NAME,), "DATALOADER.NUM_WORKERS", 0])

    def batches(count, start=0):
        taken = itertools.islice(build_train_loader(cfg, start), count)
        return [[(x["file_name"], x["class_id"], x["image"].tolist()) for x in batch] for batch in taken]

    whole = batches(4)
    assert [len(batch) for batch in whole] == [4] * 4 and len({name for name, *_ in whole[0] + whole[1]}) == 3
    assert batches(2, start=2) == whole[2:]
    cfg.DATALOADER.NUM_WORKERS = 2
    assert batches(2, start=2) == whole[2:]


# ---- the scan ----


def test_processes_find_what_one_process_finds(cfg):
    record = region_records(cfg, [NAME], False)[0]
    reader, many = LabelReader(NAME), [record] * (2 * regions.FEW)
    assert classes_of_labels(many, reader, "many", 10**6) == [[0, 2]] * len(many)


def test_later_runs_do_not_read_the_labels_again(cfg, monkeypatch):
    assert found(cfg) == ALL
    monkeypatch.setattr(regions, "classes_of_labels", None)
    assert found(cfg) == ALL


def test_one_process_scans_for_all(cfg, monkeypatch):
    sent = []

    def all_gather(outcome):  # of two processes, the first of which is the main one
        sent.append(outcome)
        return [sent[0], outcome]

    monkeypatch.setattr(comm, "all_gather", all_gather)
    assert found(cfg) == ALL
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    monkeypatch.setattr(regions, "classes_of_labels", None)
    assert found(cfg) == ALL and sent[1] is None
    sent[0] = UsageError("label 3 is damaged")
    with pytest.raises(UsageError, match="label 3 is damaged"):
        found(cfg)


@pytest.mark.parametrize("change", ("label", "label map", "file"))
def test_a_scan_of_other_labels_is_not_used(cfg, tmp_path, change):
    found(cfg)
    expected = ALL
    if change == "label":
        Image.fromarray(np.uint8([[0, 0], [0, 0]])).save(tmp_path / "labels/1.png")
        expected = [region for region in ALL if region[0] != 1]
        expected.insert(2, (1, 0))
    elif change == "label map":
        label_map = {0: 255, 1: 0, 2: 1, 3: 2, 255: 255}
        register_sem_seg(NAME, tmp_path / "images", tmp_path / "labels", ["b", "c", "d"], label_map=label_map)
        expected = [(0, 1), (1, 0), (3, 0), (3, 1), (3, 2)]
    else:
        (tmp_path / "labels/0.png").unlink()
        expected = ALL[2:]
    assert found(cfg) == expected


@pytest.mark.parametrize("damage", ("no json", "a class that there is not", "too few", "True for a class"))
def test_a_damaged_file_of_a_scan_is_not_used(cfg, tmp_path, damage, caplog):
    found(cfg)
    (path,) = (tmp_path / "output/regions").iterdir()
    content = json.loads(path.read_text())
    if damage == "a class that there is not":
        content["classes"][0] = [3]
    elif damage == "too few":
        content["classes"].pop()
    elif damage == "True for a class":
        content["classes"][0] = [True]
    path.write_text("[" if damage == "no json" else json.dumps(content))
    with caplog.at_level("WARNING", "errseg.data.regions"):
        assert found(cfg) == ALL
    assert "scanned again" in caplog.text
    assert json.loads(path.read_text())["classes"] == [[0, 2], [1], [], [0, 1, 2]]


def test_labels_that_cannot_be_used_are_one_sentence(cfg, tmp_path):
    Image.fromarray(np.uint8([[7, 0]])).save(tmp_path / "labels/1.png")
    with pytest.raises(UsageError, match="labels/1.png holds the id 7, but its data set knows only 0 to 3, 255"):
        found(cfg)
    (tmp_path / "labels/1.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="labels/1.png"):
        found(cfg)
    for path in (tmp_path / "labels").iterdir():
        Image.fromarray(np.uint8([[255, 255]])).save(path)
    with pytest.raises(UsageError, match="Every pixel of the labels of test_regions is ignored"):
        found(cfg)
