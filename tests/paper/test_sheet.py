"""Tables as Markdown and CSV: means, deviations, intervals, and whose figures they are."""

import csv

import pytest

from errseg.paper.sheet import Cell, Row, Sheet, cell_of, of_paper


def test_cells_show_their_spread():
    one = {"mIoU": 50.04, "intervals": {"mIoU": [48.0, 52.0]}}
    assert str(cell_of([one])) == "50.0 (48.0 – 52.0)"
    both = cell_of([one, {"mIoU": 54.04, "intervals": None}])
    assert both.value == pytest.approx(52.04) and both.deviation == pytest.approx(8**0.5) and both.low is None
    assert str(both) == "52.0 ± 2.8"
    assert str(cell_of([{"mIoU": 50.0}])) == "50.0" and str(cell_of([{"mIoU": None}])) == str(cell_of([])) == "–"


def test_a_sheet_is_written_as_markdown_csv_and_png(tmp_path):
    rows = [
        Row("ours, with comma", {"A": Cell(1.25, 1, low=1.0, high=1.5), **of_paper(["A"], [2.0])}),
        Row("SAN (paper)", of_paper(["A", "B"], [3.0, None], marked=False)),
    ]
    sheet = Sheet("Table 0: x", ["A", "B", "A (paper)"], rows, ["A note."], lambda path: path.write_bytes(b"PNG"))
    assert [path.name for path in sheet.write(tmp_path / "new", "table_0")] == [
        f"table_0.{x}" for x in ("md", "csv", "png")
    ]
    text = (tmp_path / "new/table_0.md").read_text(encoding="utf-8")
    assert text.startswith("Table 0: x\n\n|") and text.endswith("|\n\nA note.\n") and "1.2 (1.0 – 1.5)" in text
    with (tmp_path / "new/table_0.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [list(line.values()) for line in lines] == [
        ["ours, with comma", "A", "errseg", "1.25", "", "1.0", "1.5"],
        ["ours, with comma", "A", "paper", "2.0", "", "", ""],
        ["SAN", "A", "paper", "3.0", "", "", ""],
    ]
