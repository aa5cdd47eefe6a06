"""The paper's figures belong to the paper's configurations, and to no other."""

import json
import re
from pathlib import Path

import pytest

from errseg.config import get_cfg
from errseg.evaluation.paper import CONTENT, PAPER_ORDER, paper_row

CONFIGS = Path(__file__).parents[2] / "configs"


def load(name):
    cfg = get_cfg()
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"))
    return cfg


@pytest.mark.parametrize("row", CONTENT["rows"], ids=lambda row: row["config"])
def test_each_row_is_its_configuration_file(row):
    cfg = load(row["config"])
    found = paper_row(cfg)
    assert found.name == row["row"]
    assert [found.mIoU.get(name) for name in CONTENT["data sets"]] == row["mIoU"]
    assert paper_row(json.loads(json.dumps(cfg))) == found  # as evaluation.json has it
    cfg.merge_from_list(["SOLVER.IMS_PER_BATCH", 8, "SOLVER.BASE_LR", 4e-4, "OUTPUT_DIR", "x", "MODEL.DEVICE", "cpu"])
    assert paper_row(cfg) == found


@pytest.mark.parametrize(
    "change",
    [
        ["TEST.FLIP", True],
        ["TEST.MEAN_OVER", "ground_truth_or_prediction"],
        ["TEST.SCALES", (0.75, 1.0)],
        ["TEST.KEEP_ASPECT", True],
        ["TEST.SLIDING_WINDOW", True],
        ["INPUT.RESOLUTION_TEST", 512],
        ["INPUT.MIN_SIZE_TEST", 640],
        ["MODEL.PROMPT.TEMPLATES", ("a {}",)],
        ["MODEL.PROMPT.SYNONYMS", "mean"],
        ["MODEL.CRM.NUM_CLASSES_TEST", 33],
        ["MODEL.ESCF.DIM", 64],
        ["DATASETS.TRAIN", ("coco_2017_train_stuff_156_sem_seg",)],
    ],
    ids=lambda change: change[0],
)
def test_whatever_changes_a_score_is_no_row_of_the_paper(change):
    cfg = load("errseg_convnext_base")
    assert paper_row(cfg).name == "Table II, ConvNeXt-B"
    cfg.merge_from_list(change)
    assert paper_row(cfg) is None


def test_the_figures_are_those_of_table_ii():
    assert paper_row(load("errseg_convnext_large")).mIoU == dict(
        zip(PAPER_ORDER, (16.9, 23.9, 38.3, 60.7, 96.6), strict=False)
    )
    assert PAPER_ORDER == ("A-847", "PC-459", "A-150", "PC-59", "PAS-20", "PAS-20b")
    assert paper_row(load("errseg_vit_base16")) is None  # the paper has it with a frozen CLIP alone
    assert paper_row(load("mini/errseg_mini")) is None


def test_no_two_rows_have_the_same_settings():
    rows = [json.dumps(row["changes"], sort_keys=True) for row in CONTENT["rows"]]
    assert len(set(rows)) == len(rows) > 30


def test_every_row_of_an_ablation_that_has_figures_is_there():
    """The figures of Fig. 6, Fig. 7 and the sizes of Table XIV are not in the paper's text."""
    without = r"fig[67]_|table14_|sed_|cat_seg_"
    stems = {path.stem for path in CONFIGS.glob("ablations/*.yaml") if not re.match(without, path.stem)}
    assert {row["config"].rpartition("/")[2] for row in CONTENT["rows"]} == {
        "errseg_convnext_base",
        "errseg_convnext_large",
        *stems,
    }
