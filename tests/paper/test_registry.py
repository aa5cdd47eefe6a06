"""Every table and figure has a record; the list says what is missing."""

import pytest

from errseg.errors import UsageError
from errseg.paper.registry import ITEMS, find, lacks, listing
from errseg.paper.runs import label_of, rows_of


def test_the_items_are_those_of_the_papers():
    assert [item.number for item in ITEMS if item.kind == "table"] == [
        *map(str, range(1, 15)),
        "deop-1",
        "deop-2",
        "deop-fps",
    ]
    assert [item.number for item in ITEMS if item.kind == "figure"] == ["1", "2", "6", "7", "8", "9", "10", "deop-2"]
    assert find("table", "iv") is find("table", "4") and find("table", "4").label == "Table IV"
    assert find("figure", "2").stem == "figure_2" and find("table", "DEOP-1").label == "DeOP, table 1"
    for words in (("table", "15"), ("figure", "IV"), ("table", "")):
        with pytest.raises(UsageError, match="errseg paper lists them"):
            find(*words)


def test_the_rows_of_an_ablation_are_its_files():
    assert rows_of("table5")[0] == "ERR-Seg" and len(rows_of("table5")) == 5
    assert [label_of(row) for row in rows_of("table12")] == ["ConvNeXt-B, frozen CLIP", "ViT-B/16, frozen CLIP"]
    assert all(len(rows_of(item.rows)) > 1 for item in ITEMS if item.rows)


def test_the_list_says_what_is_missing_and_where_it_comes_from(ask, tmp_path):
    real = ask(mini=False, runs=tmp_path, seeds=2)
    assert lacks(find("table", "4"), real) == []
    assert lacks(find("table", "5"), real) == ["5 of 5 data sets", "10 of 10 training runs"]
    run = tmp_path / "ablations/table5_without_hsm/seed1/evaluation.json"
    run.parent.mkdir(parents=True)
    run.touch()
    assert "9 of 10 training runs" in lacks(find("table", "5"), real)
    assert lacks(find("table", "deop-1"), real) == ["2 of 2 data sets", "weights"]
    assert lacks(find("figure", "9"), ask(mini=False, images=("a.jpg",), checkpoints={"a": "b"})) == []
    text = listing(real)
    assert len(text.splitlines()) == 1 + len(ITEMS) + 6 and "data sets: errseg data prepare" in text
    assert all(lacks(find("table", number), ask()) == [] for number in ("5", "12"))
