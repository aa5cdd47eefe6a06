"""Tables and figures of training runs: finished runs are read, and missing ones are trained once."""

import json

import pytest
from PIL import Image

from errseg.config import as_data, load_config
from errseg.errors import UsageError
from errseg.inspection.figures import save_figure
from errseg.mini import ablate
from errseg.paper import ablations
from errseg.paper.ablations import ablation, curve
from errseg.paper.registry import find

SCORES = {"fwIoU": 1.0, "mACC": 1.0, "pACC": 1.0}


@pytest.fixture
def trained(monkeypatch):
    """The trainings that were asked for; each writes an evaluation, as a run does."""
    calls = []

    def train(words, folder, what):
        calls.append(what)
        config, keys = words[1], list(words[2:])
        cfg = load_config(config, keys[2:] if keys[0] == "--gpus" else keys)
        names = cfg.DATASETS.TEST
        score = 40.0 + len(calls)
        result = {"mIoU": score, **SCORES, "classes": ["a"], "iou": [score]}
        result["intervals"] = {"mIoU": [score - 1, score + 1]}
        results = {name: {"paper_name": name, **result} for name in names}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "evaluation.json").write_text(json.dumps({"results": results, "config": as_data(cfg)}))

    monkeypatch.setattr(ablate, "train", train)
    return calls


def test_missing_runs_are_trained_once(ask, trained, tmp_path):
    request = ask(runs=tmp_path / "runs", seeds=2)
    sheet = find("table", "7").make(request)
    assert trained == [f"{row}, seed {i}" for row in ("ERR-Seg", "table7_top_1", "table7_top_5") for i in (0, 1)]
    tops = [f"the top {n} categories of a location score" for n in (1, 5)]
    assert [row.label for row in sheet.rows] == ["ERR-Seg", *tops]
    assert str(sheet.rows[0].cells["mini seen"]) == "41.5 ± 0.7"
    assert sheet.rows[1].cells["A-847 (paper)"].value == 13.8
    assert sheet.columns[:4] == ["mini seen", "mini unseen", "mini large", "A-847 (paper)"]
    assert ablation("table7", "x")(request).rows == sheet.rows and len(trained) == 6
    with pytest.raises(UsageError, match="another configuration"):
        find("table", "7").make(ask(runs=tmp_path / "runs", opts=("SOLVER.MAX_ITER", "7")))


def test_the_vit_of_table_12_has_a_mini_form_and_a_clip_of_its_own(ask, trained, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(ablate, "prepare", lambda output, tower, clip: made.append((tower, clip)))
    sheet = find("table", "12").make(ask(runs=tmp_path / "runs"))
    assert made == [("convnext", "clip.pt"), ("vit", "clip_vit.pt")]
    assert [row.label for row in sheet.rows] == ["ConvNeXt-B, frozen CLIP", "ViT-B/16, frozen CLIP"]
    models = {}
    for row in ("table12_convnext_b", "table12_vit_b16"):
        config = tmp_path / f"runs/ablations/{row}/seed0/evaluation.json"
        models[row] = json.loads(config.read_text())["config"]["MODEL"]
    assert all(not model["CLIP"]["FINETUNE_IMAGE"] for model in models.values())
    vit = models["table12_vit_b16"]
    assert vit["BACKBONE"]["NAME"] == "ViTCLIP" and vit["CLIP"]["PRETRAINED"].endswith("clip_vit.pt")
    assert vit["ESCF"] == models["table12_convnext_b"]["ESCF"]


def test_on_the_papers_data_runs_are_trained_where_gpus_are_given(ask, trained, tmp_path):
    request = ask(mini=False, runs=tmp_path / "runs", command="errseg paper table 9")
    with pytest.raises(UsageError, match="needs 2 training runs, and .* errseg paper table 9 --gpus N trains"):
        find("table", "9").make(request)
    done = find("table", "9").make(ask(mini=False, runs=tmp_path / "runs", gpus=4))
    assert len(trained) == 2 and str(done.rows[1].cells["A-847"]) == "42.0 (41.0 – 43.0)"
    (tmp_path / "runs/ablations/table9_without_star/seed0/evaluation.json").unlink()
    partly = find("table", "9").make(request)
    assert len(trained) == 2 and partly.notes[0].startswith("Runs are missing of: w/o star.")
    assert "A-847" not in partly.rows[1].cells and partly.rows[1].cells["A-847 (paper)"].value == 14.1


def test_a_curve_is_sorted_by_its_values_and_drawn(ask, trained, monkeypatch, tmp_path):
    sheet = curve("fig6", "MODEL.CRM.SCORE_COEFFICIENT", "Fig. 6: score")(ask(runs=tmp_path / "runs"))
    assert [row.label for row in sheet.rows] == ["0.01", "0.05", "0.1", "0.2", "0.5"]
    drawn = []
    monkeypatch.setattr(
        ablations, "save_figure", lambda figure, path: drawn.append(figure) or save_figure(figure, path)
    )
    sheet.write(tmp_path, "figure_6")
    [figure] = drawn
    assert {axes.get_xlabel() for axes in figure.axes} == {"score"} and list(figure.axes[0].lines[-1].get_xdata()) == [
        2
    ]
    assert "95 % interval over images" in " ".join(figure.get_supxlabel().split())
    assert Image.open(tmp_path / "figure_6.png").size[0] > 800
