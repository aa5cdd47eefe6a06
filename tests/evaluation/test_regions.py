"""The accuracy of classified regions: counts, files, processes."""

import json

import numpy as np
import pytest
import torch
from detectron2.utils import comm

from errseg.data import build_test_loader, register_sem_seg
from errseg.errors import UsageError
from errseg.evaluation import evaluate, results_table
from errseg.evaluation.compare import load_run
from errseg.evaluation.regions import RegionEvaluator

from .oracle import Oracle, write_set

CLASSES = ["a", "b", "c", "d", "e", "f", "g"]


def region(class_id, name="images/0.png"):
    return {"file_name": name, "class_id": class_id}


def logits(*best):
    """Logits of seven names whose best are these, best first."""
    values = torch.zeros(len(CLASSES))
    values[list(best)] = torch.arange(len(best), 0, -1.0)
    return {"classification": values}


@pytest.fixture
def evaluator(tmp_path):
    register_sem_seg("regions", tmp_path, tmp_path, CLASSES, unseen_classes=[2])
    return RegionEvaluator("regions", distributed=False)


def test_the_best_and_the_five_best_are_counted(evaluator):
    inputs = [region(i) for i in (0, 0, 1, 2, 2)]
    orders = [(0, 1, 2), (1, 2, 3, 4, 0), (0, 2, 3, 4, 5, 1), (2,), (6, 5, 4, 3, 2)]
    evaluator.process(inputs, [logits(*order) for order in orders])
    scores = evaluator.evaluate()["classification"]
    assert scores == pytest.approx(
        {
            "top1": 100 * 2 / 5,
            "top5": 100 * 4 / 5,
            "mean_top1": 100 * (1 / 2 + 0 + 1 / 2) / 3,
            "mean_top5": 100 * (1 + 0 + 1) / 3,
            "mean_top1_seen": 100 * (1 / 2 + 0) / 2,
            "mean_top1_unseen": 50,
        }
    )
    classes = evaluator.by_class()
    assert classes["regions_of_class"] == [2, 1, 2, 0, 0, 0, 0]
    assert classes["top1_of_class"][:3] == [50, 0, 50] and np.isnan(classes["top1_of_class"][3:]).all()
    assert classes["top5_of_class"][:3] == [100, 0, 100]
    assert evaluator.matrix[6, 2] == 1 and evaluator.matrix.sum() == 5


def test_a_class_has_the_best_of_its_prompts(tmp_path):
    prompts = {"prompts": ["cat", "sky", "grass"], "prompt_classes": [0, 1, 1]}
    register_sem_seg("prompts", tmp_path, tmp_path, ["cat", "background"], **prompts)
    evaluator = RegionEvaluator("prompts", distributed=False)
    outputs = [{"classification": torch.tensor(values)} for values in ([2.0, -1, 3], [2.0, 1, 0], [-3.0, -2, -9])]
    evaluator.process([region(1), region(0), region(1)], outputs)
    assert evaluator.evaluate()["classification"]["top1"] == 100


def test_the_main_process_adds_up_all_shares(evaluator, monkeypatch):
    inputs, outputs = [region(i % 3, f"{i}.png") for i in range(8)], [logits(i % 2) for i in range(8)]
    evaluator.process(inputs, outputs)
    whole, checksum = evaluator.evaluate(), evaluator.checksum.hexdigest()
    halves = []
    for half in (slice(0, 8, 2), slice(1, 8, 2)):
        share = RegionEvaluator("regions")
        share.process(inputs[half], outputs[half])
        halves.append(share)
    states = [(share.matrix, share.among_best, share.checksum.state()) for share in halves]
    monkeypatch.setattr(comm, "gather", lambda data: states)
    assert halves[0].evaluate() == whole and halves[0].checksum.hexdigest() == checksum
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert halves[1].evaluate() is None


# ---- the files of an evaluation ----


class RegionOracle(Oracle):
    """Classifies a crop by the most frequent red value of its mask."""

    def forward(self, batch):
        classes = [x["image"][0][x["mask"]].mode().values for x in batch]
        return [{"classification": torch.nn.functional.one_hot(i.long(), len(self.vocabulary.names))} for i in classes]


@pytest.fixture
def region_cfg(cfg, tmp_path):
    """A data set of two images and five regions, one of which is taken for another class."""
    cfg.MODEL.META_ARCHITECTURE = "DeOPPrompt"  # a system that classifies regions
    labels = [np.uint8([[0, 0, 1], [255, 1, 1]]), np.uint8([[2, 2, 1], [2, 0, 1]])]
    predictions = [np.uint8([[0, 0, 1], [2, 1, 1]]), np.uint8([[2, 2, 1], [2, 2, 1]])]
    predictions, labels = ([np.kron(each, np.ones((20, 20), np.uint8)) for each in of] for of in (predictions, labels))
    write_set(tmp_path, "made", predictions, labels, classes=["a", "b", "c", "d"], paper_name="Made", num_images=2)
    return cfg


def test_the_files_and_the_table_hold_the_accuracies(region_cfg, tmp_path):
    (result,) = evaluate(region_cfg, RegionOracle(), ["made"]).values()
    assert {key: result[key] for key in ("images", "top1", "top5", "mean_top1")} == {
        "images": 2,
        "top1": pytest.approx(80),
        "top5": 100,
        "mean_top1": pytest.approx(100 * (1 / 2 + 1 + 1) / 3),
    }
    assert result["top1_of_class"] == [50, 100, 100, None] and result["regions_of_class"] == [2, 2, 1, 0]
    assert result["confusions"] == [{"true": "a", "predicted": "c", "ids": [0, 2], "regions": 1, "share": 50}]
    assert "mIoU" not in result and "mean_over" not in result
    content = json.loads((tmp_path / "output/evaluation.json").read_text())
    assert content["results"] == {"made": result}
    rows = [line.split("|")[1:3] for line in results_table(content["results"]).splitlines()[2:]]
    assert [(name.strip(), float(value)) for name, value in rows] == [
        ("top1", 80),
        ("top5", 100),
        ("mean_top1", 83.33),
        ("mean_top5", 100),
    ]
    lines = (tmp_path / "output/evaluation/Made.csv").read_text().splitlines()
    assert lines == [
        "id,name,top1_of_class,top5_of_class,regions_of_class",
        "0,a,50.0000,100.0000,2",
        "1,b,100.0000,100.0000,2",
        "2,c,100.0000,100.0000,1",
        "3,d,,,0",
    ]
    assert (tmp_path / "output/evaluation/Made_confusion.png").is_file()
    with pytest.raises(UsageError, match="'?made'? has the accuracy of regions, which is no score of label maps"):
        load_run(tmp_path / "output")


def test_the_checksum_is_of_images_and_classes(region_cfg, tmp_path):
    first = evaluate(region_cfg, RegionOracle(), ["made"])["made"]["checksum"]
    region_cfg.OUTPUT_DIR = str(tmp_path / "other")
    assert evaluate(region_cfg, RegionOracle(), ["made"])["made"]["checksum"] == first


def test_predictions_that_there_are_not_cannot_be_saved(region_cfg, tmp_path):
    with pytest.raises(UsageError, match="DeOP's prompt cannot segment: "):
        evaluate(region_cfg, RegionOracle(), ["made"], save_predictions=tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_each_region_is_seen_once(region_cfg):
    region_cfg.TEST.IMS_PER_BATCH = 2
    batches = list(build_test_loader(region_cfg, "made"))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert [x["class_id"] for batch in batches for x in batch] == [0, 1, 0, 1, 2]
    assert {tuple(x["image"].shape) for batch in batches for x in batch} == {(3, 640, 640)}
