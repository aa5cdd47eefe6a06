"""Classes of interest: their mean IoU, and data sets that are registered as the scripts of the MESS benchmark do it."""

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import load_sem_seg
from detectron2.utils.colormap import colormap
from PIL import Image

from errseg.errors import UsageError
from errseg.evaluation import evaluate, results_table
from errseg.evaluation.interest import classes_of_interest, interest_scores

from .oracle import Oracle

NAMES = ("others", "crack", "dark rust", "moss")


@pytest.fixture
def foreign_set(tmp_path):
    """A set that is registered with Detectron2's functions alone; images hold predictions for ``Oracle``."""
    name = "foreign_sem_seg_test"
    images, labels = tmp_path / "images", tmp_path / "labels"
    for number in range(2):
        label = np.uint8([[0, 0, 1, 1, 2, 255], [0, 0, 0, 1, 2, 2]])
        predicted = np.uint8([[0, 1, 1, 1, 2, 3], [0, 0, 3, 1, 0, 2]])
        for folder in (images, labels):
            folder.mkdir(exist_ok=True)
        Image.fromarray(np.stack([predicted, predicted * 0, predicted * 0], -1)).save(images / f"{number}_image.png")
        Image.fromarray(label).save(labels / f"{number}_annotation.png")
    DatasetCatalog.register(
        name, lambda x=images, y=labels: load_sem_seg(str(y), str(x), gt_ext="annotation.png", image_ext="image.png")
    )
    MetadataCatalog.get(name).set(
        image_root=str(images),
        sem_seg_root=str(labels),
        evaluator_type="sem_seg",
        ignore_label=255,
        stuff_classes=NAMES,
        stuff_colors=colormap(rgb=True)[[3, 1, 15, 2]],
        classes_of_interest=list(range(1, len(NAMES))),
        background_class=0,
    )
    yield name
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_a_foreign_registration_is_evaluated(cfg, tmp_path, foreign_set):
    cfg.TEST.MEAN_OVER = "ground_truth_or_prediction"
    result = evaluate(cfg, Oracle(), [foreign_set])[foreign_set]
    assert result["images"] == 2 and result["classes_of_interest"] == [1, 2, 3]
    # crack: 3 of 4 pixels; dark rust: 2 of 3; moss: predicted only, which counts as 0
    assert result["CoI-mIoU"] == pytest.approx(100 * (3 / 4 + 2 / 3 + 0) / 3)
    assert result["CoI-mACC"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert result["mIoU"] == pytest.approx(100 * (3 / 6 + 3 / 4 + 2 / 3) / 4)
    written = json.loads((tmp_path / "output/evaluation.json").read_text())["results"][foreign_set]
    assert written["CoI-mIoU"] == result["CoI-mIoU"]
    assert written["intervals"]["CoI-mIoU"] == pytest.approx([result["CoI-mIoU"]] * 2)  # the images are equal
    table = results_table({foreign_set: result})
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")]
    assert rows[2:7] == ["mIoU", "95 % interval", "CoI-mIoU", "95 % interval", "CoI-mACC"]


def test_classes_that_are_predicted_only_and_means_over_no_class():
    matrix = np.zeros((4, 4), np.int64)
    matrix[0, 0], matrix[2, 1], matrix[1, 1] = 5, 1, 3
    assert interest_scores(matrix, [1, 2]) == pytest.approx({"CoI-mIoU": 75, "CoI-mACC": 75})
    both = interest_scores(matrix, [1, 2], "ground_truth_or_prediction")
    assert both == pytest.approx({"CoI-mIoU": 37.5, "CoI-mACC": 75})
    matrix[2, 1] = matrix[1, 1] = 0
    assert interest_scores(matrix, []) == {}
    assert np.isnan(list(interest_scores(matrix, [1, 2]).values())).all()
    assert interest_scores(matrix, [0, 1], "ground_truth_or_prediction") == {"CoI-mIoU": 100, "CoI-mACC": 100}


@pytest.mark.parametrize("wrong", [[4], [-1], ["crack"], [True]])
def test_ids_that_are_no_classes(wrong):
    MetadataCatalog.get("wrong").set(stuff_classes=NAMES, classes_of_interest=wrong)
    try:
        with pytest.raises(UsageError, match="classes_of_interest of wrong are .*; register ids of its 4 classes"):
            classes_of_interest("wrong")
    finally:
        MetadataCatalog.remove("wrong")
