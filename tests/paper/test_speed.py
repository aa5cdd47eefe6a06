"""Tables of latency and memory, and mIoU over latency."""

import json

import pytest
from PIL import Image

from errseg.errors import UsageError
from errseg.inspection.figures import save_figure
from errseg.paper import speed
from errseg.paper.registry import find
from tests.benchmark.conftest import config_file, no_children  # noqa: F401


def test_latency_stands_beside_the_papers(ask, drawn, no_children, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setattr(speed, "REPEATS", {"cpu": 1})
    sheet = find("table", "3").make(ask(checkpoints={"tiny": str(drawn / "run")}))
    assert [row.label for row in sheet.rows[-2:]] == ["ERR-Seg (paper)", "tiny, own and common protocol"]
    assert sheet.rows[-2].cells["A-847 GFLOPs"].value == 348
    ours = sheet.rows[-1].cells
    assert ours["mini large GFLOPs"].value > 0 and ours["mini large ms"].value > 0 and ours["views"].value == 1
    assert ours["mini large mIoU"].low is not None and ours["mini large MB"].value == 900
    figure = find("figure", "1").make(ask())
    assert [row.label for row in figure.rows] == ["tiny, own and common protocol"]
    assert figure.rows[0].cells["mIoU"] == ours["mini large mIoU"]
    (tmp_path / "systems.json").write_text("[1]")
    with pytest.raises(UsageError, match="holds no rows of Table III"):
        find("figure", "1").make(ask())


def test_the_rows_switch_the_reductions(ask, config_file, no_children, monkeypatch):  # noqa: F811
    monkeypatch.setattr(speed, "results_of", lambda *_: [])
    sheet = find("table", "10").make(ask(config=str(config_file)))
    none, ssr, csr, both = (row.cells["ESCF GFLOPs"].value for row in sheet.rows)
    assert [row.label for row in sheet.rows] == ["neither", "SSR", "CSR", "SSR and CSR"]
    assert none > csr and ssr > both  # SSR saves nothing on maps as small as these, but its convolutions count
    assert ssr != none and both != csr and sheet.rows[3].cells["GFLOPs (paper)"].value == 95.3
    assert sheet.rows[0].cells["peak memory (MB)"].value == 3000


def test_frames_per_second_stand_beside_those_of_deops_paper(ask, monkeypatch):
    asked = []

    def make_rows(cases, cfg):
        asked.append(cfg)
        of_case = {"device": "cpu", "device_name": "a CPU", "threads": 1, "torch": "2", "kind": "predict", "repeats": 5}
        times = {"plain": 0.5, "fast": 0.25}
        return [
            {**of_case, "form": x.form, "encodes_names": x.encode_names, "vocabulary": x.vocabulary.label}
            | {"latency_s": times[x.form] + x.encode_names, "images_per_second": 1 / (times[x.form] + x.encode_names)}
            for x in cases
        ]

    monkeypatch.setattr(speed, "measure", lambda cases, *_: cases)
    monkeypatch.setattr(speed, "make_rows", make_rows)
    sheet = find("table", "deop-fps").make(ask(mini=False))
    assert asked[0].MODEL.META_ARCHITECTURE == "DeOP" and find("table", "deop-fps").label == "DeOP, table 1"
    found = {row.label: [cell.value for cell in row.cells.values()] for row in sheet.rows}
    assert found == {
        "SimBaseline (paper)": [1.11, 2.66],
        "DeOP (paper)": [4.37, 6.55],
        "plain form": [2, 500, 2, 500],
        "fast form": [4, 250, 4, 250],
        "plain form, names encoded for every picture": [pytest.approx(1 / 1.5), 1500] * 2,
    }


def test_accuracy_over_latency_takes_files_of_one_name(ask, monkeypatch, tmp_path):
    rows, evaluation = tmp_path / "rows.json", tmp_path / "evaluation.json"
    timed = {"vocabulary": "mini_large_sem_seg", "form": "fast", "latency_s": 0.25}
    rows.write_text(json.dumps([timed, timed | {"form": "plain", "latency_s": 0.1}]))
    result = {"paper_name": "mini large", "mIoU": 50.0, "fwIoU": 1, "mACC": 1, "pACC": 1, "classes": ["a"], "iou": [50]}
    evaluation.write_text(json.dumps({"results": {"mini_large_sem_seg": result}}))
    sheet = find("figure", "1").make(ask(benchmarks={"m": rows}, evaluations={"m": evaluation}))
    assert [(row.label, *(cell.value for cell in row.cells.values())) for row in sheet.rows] == [("m", 250.0, 50.0)]
    drawn = []
    monkeypatch.setattr(speed, "save_figure", lambda *args: drawn.append(args[0]) or save_figure(*args))
    sheet.write(tmp_path, "figure_1")
    ticks = [text.get_text() for text in drawn[0].axes[0].get_xticklabels()]
    assert "200" in ticks and not any("$" in text for text in ticks)
    assert Image.open(tmp_path / "figure_1.png").size[0] > 500
    with pytest.raises(UsageError, match="an evaluation and a benchmark of one name"):
        find("figure", "1").make(ask(benchmarks={"a": rows}, evaluations={"m": evaluation}))
    for content in ([], {"a": 1}, [{"vocabulary": "mini_large_sem_seg"}], [timed | {"latency_s": "x"}]):
        rows.write_text(json.dumps(content))
        with pytest.raises(UsageError, match="has no time of the fast form on mini large"):
            find("figure", "1").make(ask(benchmarks={"m": rows}, evaluations={"m": evaluation}))
