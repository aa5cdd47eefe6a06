"""Evaluation over several data sets: vocabularies, ignore labels, 16-bit labels, the table and its file."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from PIL import Image
from torch import nn

import errseg
from errseg.config import get_cfg
from errseg.data import register_sem_seg
from errseg.engine import load_config
from errseg.errors import UsageError
from errseg.evaluation import evaluate, results_table


class Vocabulary:
    def __init__(self, names, num_classes):
        self.names, self.num_classes = names, num_classes


class Oracle(nn.Module):
    """Predicts, for each pixel, the prompt that the red channel of the image names."""

    def __init__(self):
        super().__init__()
        self.history = []
        self.set_vocabulary(["before"], num_classes=1)

    def set_vocabulary(self, names, num_classes=None):
        self.vocabulary = Vocabulary(list(names), num_classes)
        self.history.append((len(names), num_classes))

    def forward(self, batch):
        assert not self.training
        scores = [nn.functional.one_hot(x["image"][0].long(), len(self.vocabulary.names)) for x in batch]
        return [{"sem_seg": x.permute(2, 0, 1).float()} for x in scores]


@pytest.fixture
def cfg(tmp_path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    cfg.INPUT.MIN_SIZE_TEST = 0  # the oracle reads the pixels as they are
    cfg.DATALOADER.NUM_WORKERS = 0
    return cfg


def write_set(root, name, predictions, labels, **settings):
    """A data set whose images hold the predictions."""
    extension = settings.get("sem_seg_ext", "png")
    for kind in ("images", "labels"):
        (root / name / kind).mkdir(parents=True)
    for number, (prediction, label) in enumerate(zip(predictions, labels, strict=True)):
        image = np.repeat(np.asarray(prediction, np.uint8)[..., None], 3, axis=2)
        Image.fromarray(image).save(root / name / "images" / f"{number}.png")
        Image.fromarray(np.asarray(label)).save(root / name / "labels" / f"{number}.{extension}")
    register_sem_seg(name, root / name / "images", root / name / "labels", image_ext="png", **settings)


def test_scores_are_those_of_the_definition(cfg, tmp_path):
    # Class 2 is predicted but never true; it does not count in mIoU. The ignored pixel counts nowhere.
    label = np.uint8([[0, 0, 0, 1], [1, 1, 1, 255]])
    prediction = np.uint8([[0, 0, 1, 1], [1, 1, 2, 0]])
    write_set(tmp_path, "scores", [prediction], [label], classes=["a", "b", "c"], num_classes_test=2, paper_name="S-3")
    model = Oracle().train()
    result = evaluate(cfg, model, ["scores"])["scores"]
    iou_a, iou_b = 2 / 3, 3 / 5
    assert result["iou"][:2] == pytest.approx([100 * iou_a, 100 * iou_b]) and result["iou"][2] is None
    assert result["mIoU"] == pytest.approx(50 * (iou_a + iou_b))
    assert result["fwIoU"] == pytest.approx(100 * (3 * iou_a + 4 * iou_b) / 7)
    assert result["mACC"] == pytest.approx(50 * (2 / 3 + 3 / 4))
    assert result["pACC"] == pytest.approx(100 * 5 / 7)
    assert model.training and model.vocabulary.names == ["before"]
    assert model.history == [(1, 1), (3, 2), (1, 1)]


def test_each_set_brings_vocabulary_k_and_ignore_label(cfg, tmp_path):
    names = [f"name {i}" for i in range(300)]
    label = np.uint16([[255, 299], [65535, 0]])
    prediction = np.uint8([[255, 0], [7, 0]])
    large = {"sem_seg_ext": "tif", "ignore_label": 65535, "num_classes_test": 48}
    write_set(tmp_path, "large", [prediction], [label], classes=names, **large)
    write_set(tmp_path, "small", [np.uint8([[0, 1]])] * 3, [np.uint8([[0, 1]])] * 3, classes=["a", "b"])
    model = Oracle()
    results = evaluate(cfg, model, ["large", "small"])
    assert results["large"]["pACC"] == pytest.approx(200 / 3)  # 255 is a class here
    assert results["large"]["iou"][255] == 100 and results["large"]["iou"][299] == 0
    assert results["small"]["mIoU"] == 100
    assert [result["num_classes_test"] for result in results.values()] == [48, 2]
    assert model.history[1:3] == [(300, 48), (2, 0)]  # 0 keeps all

    cfg.MODEL.CRM.NUM_CLASSES_TEST = 16
    evaluate(cfg, model, ["large", "small"])
    assert model.history[4:6] == [(300, 16), (2, 16)]


def test_several_prompts_of_one_class_count_as_it(cfg, tmp_path):
    settings = {"classes": ["cat", "background"], "prompts": ["cat", "sky", "grass"], "prompt_classes": [0, 1, 1]}
    write_set(tmp_path, "background", [np.uint8([[0, 1, 2, 2]])], [np.uint8([[0, 1, 1, 0]])], **settings)
    result = evaluate(cfg, Oracle(), ["background"])["background"]
    assert result["iou"] == pytest.approx([50, 200 / 3]) and result["classes"] == ["cat", "background"]


def test_the_results_are_written_and_tabled(cfg, tmp_path):
    write_set(tmp_path, "table", [np.uint8([[0, 1]])], [np.uint8([[0, 1]])], classes=["a", "b"], paper_name="T-2")
    results = evaluate(cfg, Oracle(), ["table"])
    written = json.loads((tmp_path / "output/evaluation.json").read_text())
    assert written["results"] == results
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["evaluation.json"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in results_table(results).splitlines()]
    assert rows[0] == ["", "T-2"] and ["mIoU", "100.00"] in rows and ["pACC", "100.00"] in rows
    assert evaluate(cfg, Oracle(), []) == {}


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.uint8([[0, 2]]), "0.png holds the id 2, but .* 2 names"),
        (np.uint8([[0, 1], [0, 1]]), "0.png has 2 × 1 pixels, its label .*0.png 2 × 2"),
        (np.uint8([[0], [1]]), "0.png has 2 × 1 pixels, its label .*0.png 1 × 2"),
    ],
)
def test_labels_that_would_spoil_a_score_are_named_and_the_vocabulary_is_restored(cfg, tmp_path, label, message):
    write_set(tmp_path, "bad", [np.uint8([[0, 1]])], [label], classes=["a", "b"])
    model = Oracle()
    with pytest.raises(UsageError, match=message):
        evaluate(cfg, model, ["bad"])
    assert model.vocabulary.names == ["before"]


def test_the_model_evaluates_the_benchmarks(tiny_config_file):
    cfg = load_config(str(tiny_config_file))
    model = errseg.build_model(cfg)
    name = "coco_2017_test_stuff_all_sem_seg"
    result = evaluate(cfg, model, [name])[name]
    assert result["paper_name"] == "COCO-Stuff" and result["num_classes_test"] == 8
    assert result["classes"] == MetadataCatalog.get(name).stuff_classes
    assert 0 <= result["mIoU"] <= 100 and sum(iou is not None for iou in result["iou"]) == 5
    assert not torch.is_inference_mode_enabled()
