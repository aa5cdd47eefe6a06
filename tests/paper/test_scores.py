"""Tables of evaluations: each is made once for given weights, with intervals, below the paper's rows."""

import pytest

from errseg.errors import UsageError
from errseg.paper import evaluated as module
from errseg.paper import request as of_request
from errseg.paper import scores
from errseg.paper.registry import find


@pytest.fixture
def evaluations(monkeypatch):
    """The data sets that were evaluated."""
    calls, evaluate = [], module.evaluate

    def count(cfg, model, names, **options):
        calls.extend(names)
        return evaluate(cfg, model, names, **options)

    monkeypatch.setattr(module, "evaluate", count)
    return calls


def test_an_evaluation_of_the_same_weights_is_made_once(ask, drawn, evaluations, tmp_path):
    request = ask(checkpoints={"tiny": str(drawn / "run")})
    sheet = find("table", "2").make(request)
    assert len(sheet.rows) == 22 and sheet.rows[0].label == "ZegFormer, ViT-B/16 (paper)"
    ours = sheet.rows[-1]
    assert ours.label == "tiny, own and common protocol" and all(
        ours.cells[f"mini {x}"].low is not None for x in ("seen", "unseen", "large")
    )
    assert find("table", "2").make(request).rows == sheet.rows and len(evaluations) == 3
    damaged = tmp_path / "evaluations/tiny/mini_seen_sem_seg/evaluation.json"
    damaged.write_text("{")
    assert find("table", "2").make(request).rows == sheet.rows and evaluations[3:] == ["mini_seen_sem_seg"]
    find("table", "2").make(ask(checkpoints={"tiny": str(drawn / "run")}, opts=("MODEL.CRM.NUM_CLASSES_TEST", "5")))
    assert len(evaluations) == 7  # another K, another evaluation


def test_rows_over_k_have_the_papers_figures(ask, drawn, monkeypatch):
    monkeypatch.setattr(scores, "KEPT", (4, 16))
    loads, load = [], of_request.load
    monkeypatch.setattr(of_request, "load", lambda *arguments: loads.append(arguments) or load(*arguments))
    sheet = find("table", "13").make(ask(checkpoints={"tiny": str(drawn / "run")}))
    assert len(loads) == 1
    assert [row.label for row in sheet.rows] == ["K = 4", "K = 16"]
    assert sheet.rows[1].cells["A-150 (paper)"].value == 34.9 and "A-847 (paper)" not in sheet.rows[1].cells
    assert sheet.rows[0].cells["mini large"] != sheet.rows[1].cells["mini large"]


def test_zero_shot_scores_are_those_of_the_split(ask, drawn):
    sheet = find("table", "deop-1").make(ask(checkpoints={"tiny": str(drawn / "run")}))
    cells = sheet.rows[-1].cells
    hiou, seen, unseen = (cells[f"mini unseen {x}"].value for x in ("hIoU", "seen", "unseen"))
    assert hiou == pytest.approx(0 if seen + unseen == 0 else 2 * seen * unseen / (seen + unseen))
    assert sheet.rows[4].cells["COCO-Stuff 156/15 hIoU"].value == 38.2 and sheet.rows[4].label == "DeOP (paper)"


def test_weights_are_asked_for(ask, monkeypatch):
    monkeypatch.setattr(scores.Request, "present", lambda *_: (["ade20k_150_test_sem_seg"], []))
    with pytest.raises(UsageError, match="needs weights; give --checkpoint NAME=FILE; the authors'"):
        find("table", "2").make(ask(mini=False))
