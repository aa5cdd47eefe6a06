"""errseg paper: the list, a table, and mistakes in one sentence."""

import pytest

from errseg.paper.request import Request
from errseg.paper.sheet import Cell, Row, Sheet


def test_the_list_and_a_table(command, tmp_path, monkeypatch):
    status, out, _ = command("paper")
    assert status == 0 and "Table IV" in out and "lacks 5 of 5 data sets" in out
    asked = []

    def make(request: Request) -> Sheet:
        asked.append(request)
        return Sheet("Table I: x", ["A"], [Row("r", {"A": Cell(1.0)})])

    from errseg.paper import registry

    items = [item._replace(make=make) if item.number == "1" else item for item in registry.ITEMS]
    monkeypatch.setattr(registry, "ITEMS", items)
    words = ["--mini", "--seeds", 3, "--checkpoint", "a=b=c", "--checkpoint", "d=e", "TEST.FLIP", "True"]
    status, out, _ = command("paper", "table", "I", "--out", tmp_path, *words)
    assert status == 0 and "| r  |" in out and (tmp_path / "table_1.csv").is_file() and str(tmp_path) in out
    [request] = asked
    assert (
        request.checkpoints == {"a": "b=c", "d": "e"} and request.seeds == 3 and request.opts == ("TEST.FLIP", "True")
    )
    assert request.command == "errseg paper table I --mini" and request.runs.parts == ("output", "mini")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table"], "give table or figure and its number"),
        (["chart", "1"], "give table or figure and its number"),
        (["table", "20"], "There is no table '20'"),
        (["table", "2", "--checkpoint", "x"], "'x' is not NAME=FILE"),
        (["table", "2", "--checkpoint", "../x=y"], "is not NAME=FILE"),
        (["table", "2", "--checkpoint", "..=y"], "is not NAME=FILE"),
        (
            ["table", "2", "--checkpoint", "a=x", "--checkpoint", "a=y"],
            "--checkpoint has the name 'a' twice; give each",
        ),
        (["table", "5", "--gpus", "-1"], "--gpus is -1; give 0 or more"),
        (["figure", "1"], "needs an evaluation and a benchmark of one name"),
    ],
)
def test_mistakes_are_one_sentence(command, words, sentence):
    status, out, err = command("paper", *words)
    assert status == 2 and not out and sentence in err and err.count("\n") == 1
