"""Test sets of zero-shot splits: their scores in the files and tables, and models that saw the unseen classes."""

import json
import logging

import numpy as np
import pytest
from detectron2.data import MetadataCatalog

from errseg.data import register_sem_seg
from errseg.data.benchmarks import BENCHMARKS
from errseg.errors import UsageError
from errseg.evaluation import VocabularyEvaluator, evaluate, results_table
from errseg.evaluation.split import check_split, unseen_classes

from .oracle import Oracle, random_set, write_set


@pytest.fixture
def split_set(tmp_path):
    """A test set of four classes, of which 1 and 3 are unseen; its name."""
    label = np.uint8([[0, 0, 1, 1, 2, 255]])
    prediction = np.uint8([[0, 1, 1, 1, 2, 3]])
    classes = ["cat", "cow, ox", "dog", "Tree"]
    write_set(tmp_path, "split", [prediction], [label], classes=classes, unseen_classes=[3, 1], paper_name="S 2/2")
    return "split"


def training_set(name, classes):
    register_sem_seg(name, "", "", classes)
    return name


def test_the_scores_stand_in_the_file_and_in_the_table(cfg, tmp_path, split_set):
    cfg.DATASETS.TRAIN = (training_set("seen_alone", ["cat", "dog"]),)
    random_set(tmp_path, "without", classes=4)
    results = evaluate(cfg, Oracle(), [split_set, "without"])
    result = results[split_set]
    seen, unseen = 100 * (1 / 2 + 1) / 2, 100 * 2 / 3
    assert [result[key] for key in ("mIoU_seen", "mIoU_unseen")] == pytest.approx([seen, unseen])
    assert result["hIoU"] == pytest.approx(2 * seen * unseen / (seen + unseen))
    assert result["unseen"] == [1, 3] and result["mean_over"] == "ground_truth"
    assert json.loads((tmp_path / "output/evaluation.json").read_text())["results"] == results
    assert not {"mIoU_seen", "unseen"} & results["without"].keys()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in results_table(results).splitlines()]
    assert ["mIoU_seen", "75.00", "–"] in rows and ["hIoU", f"{result['hIoU']:.2f}", "–"] in rows


def test_the_mean_may_be_over_predicted_classes_too_and_old_predictions_serve(cfg, tmp_path):
    """Only what is counted changes: the predictions of a folder are scored again, not made again."""
    settings = {"classes": ["a", "b", "c"], "unseen_classes": [1, 2]}
    write_set(tmp_path, "over", [np.uint8([[0, 1, 2, 0]])], [np.uint8([[0, 1, 1, 0]])], **settings)
    first = evaluate(cfg, Oracle(), ["over"], save_predictions=tmp_path / "saved")["over"]
    cfg.TEST.MEAN_OVER = "ground_truth_or_prediction"
    model = Oracle()
    second = evaluate(cfg, model, ["over"], save_predictions=tmp_path / "saved")["over"]
    assert not model.predicted
    assert (first["mIoU"], second["mIoU"]) == pytest.approx((75, 50))
    assert (first["mIoU_unseen"], second["mIoU_unseen"]) == pytest.approx((50, 25))
    assert second["mean_over"] == "ground_truth_or_prediction" and first["mACC"] == second["mACC"]
    scores = VocabularyEvaluator("over", mean_over="ground_truth_or_prediction")
    assert scores.evaluate()["sem_seg"].keys() >= {"mIoU", "hIoU"}


@pytest.mark.parametrize("names", [["cat", "tree"], ["ox", "dog"], ["TREE ", "cow"]])
def test_a_model_that_was_trained_on_unseen_classes_is_refused(cfg, split_set, names):
    cfg.DATASETS.TRAIN = (training_set("fine", ["cat"]), training_set("seen_all", names))
    model = Oracle()
    with pytest.raises(
        UsageError, match="split counts 2 classes as unseen .* DATASETS.TRAIN seen_all has [12] of them"
    ):
        evaluate(cfg, model, [split_set])
    assert not model.predicted


@pytest.mark.parametrize(
    ("training", "words"),
    [((), "DATASETS.TRAIN is empty"), (("nobody_has_it",), "nobody_has_it is not"), (("x/gone.yaml",), "gone.yaml")],
)
def test_training_data_that_cannot_be_checked_are_warned_of(cfg, split_set, training, words):
    cfg.DATASETS.TRAIN, messages = training, []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("errseg.evaluation.split")
    logger.addHandler(handler)
    try:
        check_split(cfg, [split_set, "nobody_has_it"])
    finally:
        logger.removeHandler(handler)
    assert len(messages) == 1 and words in messages[0] and "cannot be checked" in messages[0]


@pytest.mark.parametrize(
    ("test", "trained", "refused"),
    [
        ("coco_2017_test_stuff_15_unseen_sem_seg", "coco_2017_train_stuff_156_sem_seg", False),
        ("coco_2017_test_stuff_15_unseen_sem_seg", "coco_2017_train_stuff_all_sem_seg", True),
        ("voc_2012_test_5_unseen_sem_seg", "voc_2012_train_15_sem_seg", False),
        ("voc_2012_test_5_unseen_sem_seg", "coco_2017_train_stuff_156_sem_seg", True),  # it has sheep and train
    ],
)
def test_the_published_splits_fit_their_training_sets(cfg, test, trained, refused):
    cfg.DATASETS.TRAIN = (trained,)
    if not refused:
        return check_split(cfg, [test])
    with pytest.raises(UsageError, match=f"{trained} has .* of them"):
        check_split(cfg, [test])


def test_sets_without_a_split_are_not_checked(cfg):
    cfg.DATASETS.TRAIN = ("coco_2017_train_stuff_all_sem_seg",)
    names = [row.name for row in BENCHMARKS if not row.trained_on]
    check_split(cfg, [*names, "nobody_has_it"])
    assert not any(unseen_classes(name) for name in names)
    MetadataCatalog.get("foreign_split").set(stuff_classes=["a"])  # another project's set has no such metadata
    assert unseen_classes("foreign_split") == []
