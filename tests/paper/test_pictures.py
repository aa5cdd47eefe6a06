"""Figures of pictures: attention, and several models side by side."""

import numpy as np
import pytest
from PIL import Image

from errseg.colors import colors_of
from errseg.errors import UsageError
from errseg.paper.pictures import Shown, _legend, _one_list, alike_things, few_things
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


def test_names_of_a_figure_have_colours_that_differ_and_are_the_same_in_all_rows():
    image, many = np.zeros((4, 40, 3), np.uint8), tuple(f"name {i}" for i in range(100))
    ids = np.repeat(np.arange(60, 100), 4).reshape(40, 4).T  # names that a vocabulary of 100 gives colours by chance
    first = Shown(image, [("m", ids), ("truth", np.where(ids == 99, 255, ids))], many, 255)
    other = Shown(image, [("m", np.zeros((4, 40), int))], ("Name 70, thing", "sky"), None)
    names, (one, two) = _one_list([first, other])
    assert names[0] == "name 70" and len(names) == 101 and "sky" in names
    assert one.names == two.names == names and (two.labels[0][1] == 0).all()
    assert [names[i] for i in one.labels[0][1][0]] == [f"name {i}" for i in range(60, 100)]
    assert set(one.labels[1][1][ids == 99]) == {len(names)} == {one.ignored}

    def least(colours):
        colours = np.array(colours, float)
        return np.linalg.norm(colours[:, None] - colours, axis=2)[np.triu_indices(len(colours), 1)].min()

    assert least(colors_of(names)[:40]) > 3 * least(colors_of(many)[60:])
    labels = [patch.get_label() for patch in _legend(one)]
    assert labels[-2:] == ["and 30 smaller", "ignored"] and len(labels) == 12
    assert [patch.get_label() for patch in _legend(two)] == ["name 70"]
