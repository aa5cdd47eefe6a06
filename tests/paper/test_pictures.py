"""Figures of pictures: attention, and several models side by side."""

import pytest
from PIL import Image

from errseg.errors import UsageError
from errseg.paper.pictures import alike_things, few_things
from errseg.paper.registry import find


def test_attention_is_drawn_and_measured(ask, drawn, tmp_path):
    sheet = find("figure", "2").make(ask(checkpoints={"tiny": str(drawn / "run")}, limit=2))
    assert [row.label for row in sheet.rows] == ["with CRM", "without CRM"]
    assert "means of 2 pictures" in sheet.notes[0] and sheet.rows[0].cells["reach of SFM (pixels)"].value > 0
    sheet.write(tmp_path, "figure_2")
    assert Image.open(tmp_path / "figure_2.png").size[0] > 800


def test_models_stand_side_by_side(ask, drawn, tmp_path):
    both = {"one": str(drawn / "run"), "other": str(drawn / "run")}
    sizes = []
    for checkpoints in ({"one": both["one"]}, both):
        find("figure", "8").make(ask(checkpoints=checkpoints, limit=2)).write(tmp_path, "figure_8")
        sizes.append(Image.open(tmp_path / "figure_8.png").size)
    assert sizes[1][0] > sizes[0][0] + 200  # a column more
    picture = next(drawn.glob("mini/images/seen/*.jpg"))
    asked = ask(checkpoints=both, mini=False, images=(str(picture),), names=["red car", "sky"])
    sheet = find("figure", "9").make(asked)
    assert len(sheet.write(tmp_path, "figure_9")) == 2 and "one, other" in sheet.notes[0]
    with pytest.raises(UsageError, match="--images needs --classes"):
        find("figure", "9").make(ask(mini=False, images=("a.jpg",)))
    with pytest.raises(UsageError, match="needs pictures"):
        find("figure", "10").make(ask(mini=False, checkpoints=both))


def test_scenes_that_stand_in_for_the_papers_pictures():
    assert few_things(["grass", "red plain bar"]) and not few_things(["grass", "a b c", "d e f", "g h i"])
    assert alike_things(["red plain bar", "blue striped bar", "grass"])
    assert not alike_things(["red plain bar", "red plain ring", "brick wall"])
