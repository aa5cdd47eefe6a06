"""Evaluation over several data sets: vocabularies, ignore labels, 16-bit labels, the table and its file."""

import csv
import hashlib
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode

import errseg
from errseg.data import register_sem_seg
from errseg.data.vocabularies import equal_names
from errseg.engine import load_config
from errseg.errors import UsageError
from errseg.evaluation import SCORES, evaluate, results_table
from errseg.evaluation.paper import PaperRow
from errseg.evaluation.report import file_stems

from .oracle import LabelOracle, Oracle, random_set, write_set

CONFIGS = Path(__file__).parents[2] / "configs"


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


def test_names_that_the_model_cannot_tell_apart_are_refused_before_anything_is_predicted(cfg, tmp_path, build):
    label = np.uint8([[0, 1]])
    for name, classes in (("good", ["cat", "dog"]), ("equal", ["bag, purse", "Bag, sack"]), ("long", ["a " * 99, "b"])):
        write_set(tmp_path, name, [label], [label], classes=classes)
    model = build()
    for names, words in (
        (["good", "equal"], "equal: .*'bag, purse'.* the same to the model"),
        (["long"], "shorten it"),
    ):
        with pytest.raises(UsageError, match=words):
            evaluate(cfg, model, names)
    assert len(model.vocabulary.names) == 8 and not (tmp_path / "output/evaluation.json").exists()


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
    output = tmp_path / "output"
    assert json.loads((output / "evaluation.json").read_text())["results"] == results
    written = sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file())
    assert written == ["evaluation.json", "evaluation/T-2.csv", "evaluation/T-2_confusion.png"]
    with Image.open(output / "evaluation/T-2_confusion.png") as picture:
        assert picture.format == "PNG" and picture.width > 500
    assert cells(results_table(results))[0] == ["", "T-2"]
    assert ["mIoU", "100.00"] in cells(results_table(results)) and ["pACC", "100.00"] in cells(results_table(results))
    assert evaluate(cfg, Oracle(), []) == {}


def cells(table):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_file_says_what_the_numbers_came_from(cfg, tmp_path):
    random_set(tmp_path, "origin", classes=4, domain="out")
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"weights")
    cfg.TEST.FLIP = True
    evaluate(cfg, Oracle(), ["origin"], weights=weights)
    content = json.loads((tmp_path / "output/evaluation.json").read_text())
    result = content["results"]["origin"]
    assert (result["images"], result["domain"]) == (6, "out") and len(result["checksum"]) == 64
    assert content["config"]["TEST"]["FLIP"] is True and content["config"]["OUTPUT_DIR"] == cfg.OUTPUT_DIR
    assert content["weights"]["file"] == str(weights)
    assert content["weights"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert content["versions"]["torch"] == torch.__version__ and content["versions"]["errseg"] == errseg.__version__
    assert content["versions"]["detectron2"].split()[1] in ("(real)", "(errseg/compat)")
    assert {"python", "torchvision", "numpy", "open_clip", "timm"} <= content["versions"].keys()
    assert content["date"].startswith("20") and content["date"].endswith("+00:00")

    evaluate(cfg, Oracle(), ["origin"])
    assert json.loads((tmp_path / "output/evaluation.json").read_text())["weights"]["file"] is None


def test_the_classes_are_a_csv_whatever_their_names(cfg, tmp_path):
    names = ['the "best", quoted', "screen, door", "screen", "screen", "never"]
    label = np.uint8([[0, 1, 2, 3, 0]])
    write_set(tmp_path, "names", [np.uint8([[0, 1, 2, 2, 1]])], [label], classes=names, paper_name="My set/1")
    result = evaluate(cfg, Oracle(), ["names"])["names"]
    with open(tmp_path / "output/evaluation/My_set_1.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["0", "1", "2", "3", "4"] and [row["name"] for row in rows] == names
    assert [row["iou"] for row in rows] == ["50.0000", "50.0000", "50.0000", "0.0000", ""]
    assert [row["acc"] for row in rows] == ["50.0000", "100.0000", "100.0000", "0.0000", ""]
    assert [row["pixels"] for row in rows] == ["2", "1", "1", "1", "0"]
    assert result["equal_names"] == [[1, 2, 3]]
    assert result["confusions"][0] == {
        "true": names[0], "predicted": "screen, door", "ids": [0, 1], "pixels": 1, "share": 50.0
    }  # fmt: skip


def test_names_are_equal_by_the_synonyms_that_count():
    names = ["bag, sack", "bag", "pot", " bag ,sack"]
    assert equal_names(names) == [[0, 1, 3]]
    assert equal_names(names, "mean") == [[0, 3]]


def test_data_sets_of_one_name_get_files_of_their_own():
    assert file_stems({"a_set": "A", "b_set": "a", "c_set": "C-1"}) == {
        "a_set": "a_set",
        "b_set": "b_set",
        "c_set": "C-1",
    }
    assert file_stems({"a": "../up"}) == {"a": "up"} and file_stems({"a": "/"}) == {"a": "data_set"}


def made_up(paper_name, **scores):
    return {"paper_name": paper_name, **dict.fromkeys(SCORES, 50.0), **scores}


def test_the_table_is_in_the_papers_order_with_its_figures():
    results = {name: made_up(name) for name in ("mine", "PAS-20b", "PAS-20", "A-150", "A-847")}
    results["A-847"]["mIoU"], results["mine"]["fwIoU"] = 14.567, None
    row = PaperRow("Table II, ConvNeXt-B", {"A-847": 13.9, "A-150": 35.8})
    table = cells(results_table(results, row))
    assert table[0] == ["", "A-847", "A-150", "PAS-20", "PAS-20b", "mine"]
    assert table[2:6] == [
        ["mIoU", "14.57", "50.00", "50.00", "50.00", "50.00"],
        ["mIoU, paper", "13.9", "35.8", "–", "–", "–"],
        ["difference", "+0.67", "+14.20", "–", "–", "–"],
        ["fwIoU", "50.00", "50.00", "50.00", "50.00", "–"],
    ]
    assert "Table II, ConvNeXt-B" in results_table(results, row)
    results["A-150"]["intervals"] = {"mIoU": [48.0, 51.256], "fwIoU": [49.0, 51.0]}
    table = cells(results_table(results, row))
    assert table[3] == ["95 % interval", "–", "48.00 – 51.26", "–", "–", "–"] and table[4][0] == "mIoU, paper"
    assert [line[0] for line in table].count("95 % interval") == 1  # of mean IoUs alone
    del results["A-150"]["intervals"]
    twins = {name: made_up("val") for name in ("a/val.yaml", "b/val.yaml")} | {"x": made_up("A-150")}
    assert cells(results_table(twins))[0] == ["", "A-150", "a/val.yaml", "b/val.yaml"]
    assert [line[0] for line in cells(results_table(results))[2:]] == list(SCORES)


def test_the_papers_figures_stand_in_the_log_of_its_configuration(cfg, tmp_path, caplog):
    random_set(tmp_path, "like_a150", classes=4, paper_name="A-150")
    cfg.merge_from_file(str(CONFIGS / "errseg_convnext_base.yaml"))
    cfg.merge_from_list(["OUTPUT_DIR", str(tmp_path / "output"), "DATALOADER.NUM_WORKERS", 0])

    class Small(LabelOracle):
        def label_maps(self, batch):
            return [torch.zeros(x["height"], x["width"], dtype=torch.long) for x in batch]

    logger = logging.getLogger("errseg")  # Detectron2's logging may have cut it from the root
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger="errseg"):
            evaluate(cfg, Small(), ["like_a150"])
            assert "mIoU, paper" in caplog.text and "35.8" in caplog.text and "Table II, ConvNeXt-B" in caplog.text
            paper = json.loads((tmp_path / "output/evaluation.json").read_text())["paper"]
            assert paper["row"] == "Table II, ConvNeXt-B" and paper["mIoU"]["A-150"] == 35.8
            caplog.clear()
            cfg.TEST.FLIP = True
            evaluate(cfg, Small(), ["like_a150"])
            assert json.loads((tmp_path / "output/evaluation.json").read_text())["paper"] is None
            assert "mIoU |" in caplog.text and "mIoU, paper" not in caplog.text
    finally:
        logger.removeHandler(caplog.handler)


def test_what_is_done_is_said_and_on_disk_when_a_later_set_fails(cfg, tmp_path, monkeypatch):
    random_set(tmp_path, "first", classes=4)
    write_set(tmp_path, "second", [np.uint8([[0, 1]])], [np.uint8([[0, 9]])], classes=["a", "b"])
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("errseg.evaluation.evaluate")
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.addHandler(handler)
    try:
        with pytest.raises(UsageError, match="holds the id 9"):
            evaluate(cfg, Oracle(), ["first", "second"])
    finally:
        logger.removeHandler(handler)
    assert any(re.fullmatch(r"first: mIoU \S+ \(\S+ – \S+\), fwIoU .*, pACC \S+", message) for message in messages)
    results = json.loads((tmp_path / "output/evaluation.json").read_text())["results"]
    assert list(results) == ["first"] and (tmp_path / "output/evaluation/first.csv").is_file()


def test_nothing_starts_where_a_set_is_missing(cfg, tmp_path):
    random_set(tmp_path, "there", classes=4)
    register_sem_seg("gone", tmp_path / "gone", tmp_path / "gone", ["a"])
    model = Oracle()
    with pytest.raises(UsageError, match="gone"):
        evaluate(cfg, model, ["there", "gone"])
    assert not model.predicted and not (tmp_path / "output").exists()


def test_a_set_whose_pixels_are_all_ignored_has_no_scores(cfg, tmp_path):
    write_set(tmp_path, "void", [np.uint8([[0, 1]])], [np.uint8([[255, 255]])], classes=["a", "b"])
    result = evaluate(cfg, Oracle(), ["void"])["void"]
    assert [result[score] for score in SCORES] == [None] * 4 and result["iou"] == [None, None]
    assert [row[0] for row in cells(results_table({"void": result}))[2:]] == list(SCORES)
    assert result["intervals"] == dict.fromkeys(SCORES)
    json.loads((tmp_path / "output/evaluation.json").read_text(), parse_constant=pytest.fail)


def test_label_maps_and_scores_give_the_same_files(cfg, tmp_path):
    settings = {"prompts": [f"class {i % 4}" for i in range(5)], "prompt_classes": [0, 1, 2, 3, 3]}
    random_set(tmp_path, "dense", classes=4, **settings)
    by_scores = evaluate(cfg, Oracle(), ["dense"])
    assert by_scores == evaluate(cfg, LabelOracle(), ["dense"])


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


class Scores(torch.nn.Module):
    """A model as others have them: it gives scores, and no label maps."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @property
    def vocabulary(self):
        return self.model.vocabulary

    def set_vocabulary(self, *args, **kwargs):
        self.model.set_vocabulary(*args, **kwargs)

    def forward(self, batch):
        return self.model(batch)


def test_the_model_evaluates_the_benchmarks_as_the_dense_way_does(tiny_config_file):
    cfg = load_config(str(tiny_config_file))
    model = errseg.build_model(cfg)
    name = "coco_2017_test_stuff_all_sem_seg"
    result = evaluate(cfg, model, [name])[name]
    assert result["paper_name"] == "COCO-Stuff" and result["num_classes_test"] == 8
    assert result["classes"] == MetadataCatalog.get(name).stuff_classes
    assert 0 <= result["mIoU"] <= 100 and sum(iou is not None for iou in result["iou"]) == 5
    assert not torch.is_inference_mode_enabled()
    assert evaluate(cfg, Scores(model), [name])[name] == result


class Largest(TorchDispatchMode):
    """Notes the largest map, a tensor of three dimensions or more, that any operation makes."""

    def __init__(self):
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dim() > 2:
            self.numel = max(self.numel, result.numel())
        return result


def test_no_tensor_holds_the_scores_of_847_classes(tiny_config_file):
    cfg = load_config(str(tiny_config_file))
    coco, classes = "coco_2017_test_stuff_all_sem_seg", MetadataCatalog.get("ade20k_full_sem_seg_freq_val_all")
    record = DatasetCatalog.get(coco)[0]
    folders = Path(record["file_name"]).parent, Path(record["sem_seg_file_name"]).parent
    register_sem_seg("like_a847", *folders, classes.stuff_classes, num_classes_test=48)
    cfg.MODEL.CRM.NUM_CLASSES_TEST = 0
    cfg.INPUT.MIN_SIZE_TEST = 0
    model = errseg.build_model(cfg)
    dense = 847 * 48 * 64
    with Largest() as streamed:
        result = evaluate(cfg, model, ["like_a847"])
    assert result["like_a847"]["num_classes_test"] == 48 and 0 < streamed.numel < dense
    with Largest() as scored:
        assert evaluate(cfg, Scores(model), ["like_a847"]) == result
    assert scored.numel == dense  # the measure sees it where it is made


def test_batches_change_no_score(tiny_config_file):
    cfg, name = load_config(str(tiny_config_file)), "coco_2017_test_stuff_all_sem_seg"
    model, results = errseg.build_model(cfg), []
    for size in (1, 4):
        cfg.TEST.IMS_PER_BATCH = size
        results.append(evaluate(cfg, model, [name])[name])
    assert results[0]["images"] == results[1]["images"] == 6
    assert results[0]["mIoU"] == pytest.approx(results[1]["mIoU"], abs=0.1)
