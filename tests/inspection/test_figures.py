"""Figures: they are drawn for every model, hold what they say, and are written whole in each format."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image

from errseg.errors import UsageError
from errseg.inspection import inspect, save_inspection
from errseg.inspection.figures import (
    draw_class_attention,
    draw_cost,
    draw_crm,
    draw_heatmaps,
    draw_proposals,
    draw_severance,
    draw_spatial_attention,
    plain_style,
)
from errseg.inspection.figures.crm import DROPPED, KEPT, WON, ranks_to_show
from errseg.inspection.figures.guidance import principal_colours
from errseg.inspection.figures.style import counted, short
from errseg.inspection.files import figures_of
from tests.conftest import NAMES
from tests.inspection.test_inspect import ABLATIONS

ALL = ["attention", "class_attention", "cost", "crm", "guidance"]
OF_DEOP = ["heatmaps", "proposals", "severance"]


@pytest.fixture(autouse=True)
def style():
    with plain_style():
        yield


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("name", ["without HSM", "without CRM", "without ESCF", "SFM only", "CFM only", "without GUD"])
def test_every_ablation_has_its_figures(name, segmenter, picture):
    found = inspect(segmenter(*ABLATIONS[name][0]), picture)
    drawn = {part for part, _ in figures_of(found)}
    missing = {
        "without CRM": {"crm"},
        "without ESCF": {"attention", "class_attention"},
        "SFM only": {"class_attention"},
    }
    assert drawn == set(ALL) - missing.get(name, {"attention"} if name == "CFM only" else set())


def test_formats(segmenter, picture, tmp_path):
    found = inspect(segmenter(), picture, ["cost"])
    written = save_inspection(found, tmp_path / "new", "a b", ["png", "pdf", "svg"])
    assert [path.name for path in written] == ["a b_cost.png", "a b_cost.pdf", "a b_cost.svg"]
    assert sorted(written) == sorted((tmp_path / "new").iterdir())  # no temporary file stays
    assert np.asarray(Image.open(written[0]).convert("L")).std() > 10
    assert written[1].read_bytes().startswith(b"%PDF")
    assert ElementTree.parse(written[2]).getroot().tag.endswith("svg")
    before = written[2].read_bytes()
    save_inspection(found, tmp_path / "new", "a b", ["svg"])
    assert written[2].read_bytes() == before  # the same figure is the same file


def test_arrays_behind_the_figures(segmenter, picture, tmp_path):
    found = inspect(segmenter(), picture)
    save_inspection(found, tmp_path, "a", arrays=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"a_{name}.{ending}" for name in ALL for ending in ("png", "npz")
    }
    with np.load(tmp_path / "a_attention.npz") as arrays:  # without pickle
        np.testing.assert_array_equal(arrays["weights"], found.attention.spatial.weights)
        np.testing.assert_array_equal(arrays["weights_all"], found.attention.spatial_all.weights)
        assert arrays["names"].tolist() == list(found.names) and tuple(arrays["point"]) == found.point
    with np.load(tmp_path / "a_cost.npz") as arrays:
        np.testing.assert_array_equal(arrays["E32"], found.cost["E32"])
    with np.load(tmp_path / "a_crm.npz") as arrays:
        np.testing.assert_array_equal(arrays["scores"], found.crm.scores)
    with np.load(tmp_path / "a_guidance.npz") as arrays:
        np.testing.assert_array_equal(arrays["os8"], found.guidance.decoder["os8"])


def test_cost_maps_share_one_scale(segmenter, picture):
    found = inspect(segmenter(), picture, ["cost"], show=["cat", "grass", "road", "wall", "tree"])
    images = [image for axes in draw_cost(found).axes for image in axes.images if image.get_array().ndim == 2]
    maps = [image for image in images if image.axes.get_label() != "<colorbar>"]
    assert len(maps) == 10 and len({image.get_clim() for image in maps}) == 1
    shown = np.concatenate([found.cost[name][list(found.shown)].ravel() for name in found.cost])
    assert maps[0].get_clim() == (shown.min(), shown.max())
    np.testing.assert_array_equal(maps[0].get_array(), found.cost["E16"][found.shown[0]])


def test_crm_bars_are_sorted_and_coloured_by_what_became_of_a_name(segmenter, picture):
    found = inspect(segmenter(num_classes=4), picture, ["crm"])
    figure = draw_crm(found)
    bars = figure.axes[0].patches
    assert len(bars) == 9
    order = found.crm.order
    for bar, index in zip(bars, order, strict=True):
        expected = WON if index in found.winners else KEPT if index in found.kept else DROPPED
        assert to_hex(bar.get_facecolor()) == expected
    ends = [bar.get_x() + bar.get_width() for bar in bars]
    np.testing.assert_allclose(ends[:4], found.crm.scores[order[:4]], rtol=1e-5)
    assert "cut at K = 4" in texts(figure)
    everything = inspect(segmenter(num_classes=0), picture, ["crm"])
    assert not any("cut" in text for text in texts(draw_crm(everything)))


def test_ranks_around_the_cut_are_shown():
    assert ranks_to_show(9, 3) == list(range(9))
    assert ranks_to_show(847, 32) == list(range(40))
    ranks = ranks_to_show(847, 48)
    assert len(ranks) == 40 and ranks[0] == 0 and {47, 48} <= set(ranks) and ranks == sorted(set(ranks))


def test_spatial_attention_says_how_far_it_reaches(segmenter, picture):
    found = inspect(segmenter(), picture, ["attention"], point=(3, 4))
    run = found.attention.spatial
    words = texts(draw_spatial_attention(found, head=2))
    reach = run.mean_distance(run.weights[0, 1])
    assert any(word.startswith(f"reach {reach:.0f} px") for word in words)
    caption = next(word for word in words if word.startswith("SFM"))
    assert "layer 2 of 2" in caption and "head 2 of 4" in caption and "3, 4" in caption
    assert {"with CRM: K = 3", "without CRM: all 9 names"} <= set(words)


def test_a_dropped_name_is_marked(segmenter, picture):
    made = segmenter()
    kept = inspect(made, picture, ["cost"]).kept
    dropped = made.vocabulary.prompts[next(i for i in range(9) if i not in kept)]
    assert "dropped by CRM" in texts(draw_spatial_attention(inspect(made, picture, ["attention"], show=[dropped])))


def test_class_attention_matrix(segmenter, picture):
    found = inspect(segmenter(), picture, ["attention"])
    figure = draw_class_attention(found)
    matrix = np.asarray(figure.axes[1].images[0].get_array())  # without CRM, the mean of all heads, in per cent
    run = found.attention.classes_all
    slot = run.classes.tolist().index(found.winners[0])
    assert matrix[0, 0] == pytest.approx(100 * run.mean.mean(0)[slot, slot], rel=1e-4)
    np.testing.assert_allclose(matrix.sum(1), 100, rtol=1e-4)  # the others are one column
    caption = next(text for text in texts(figure) if text.startswith("CFM")).replace("\n", " ")
    assert re.search(r"give themselves and each other [\d.]+\s% .* with CRM, [\d.]+\s% without", caption)


def test_a_head_that_is_not_there(segmenter, picture, tmp_path):
    with pytest.raises(UsageError, match="head 5.*1 to 4"):
        save_inspection(inspect(segmenter(), picture), tmp_path, "a", head=5)
    assert not list(tmp_path.iterdir())  # nothing is half done


def test_formats_that_are_not_there(segmenter, picture, tmp_path):
    with pytest.raises(UsageError, match="'gif'.*png, pdf, svg"):
        save_inspection(inspect(segmenter(), picture, ["cost"]), tmp_path, "a", ["gif"])
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        save_inspection(inspect(segmenter(), picture, ["cost"]), tmp_path / "file", "a")


def test_names_in_figures(segmenter, picture, tmp_path, monkeypatch):
    monkeypatch.setattr("errseg.inspection.figures.style.letters_of_no_font", lambda names: "猫")
    assert short(["a very long name that nobody can read in a figure"]) == ["a very long name that n…"]
    assert short(["line\nbreak"]) == ["line break"]
    names = ["$x^2$ {", "mañana", "猫 ý", "cat"]
    assert short(names)[2] == "\\u732b ý"
    found = inspect(segmenter(names=names, num_classes=2), picture, ["crm", "attention"])
    for name in save_inspection(found, tmp_path, "ü"):
        assert name.stat().st_size > 1000
    assert any("$x^2$ {" in text for text in texts(draw_crm(found)))


def test_principal_colours_are_the_largest_directions():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 8, 10))
    x = np.stack([10 * first, 10 * first, second, np.zeros((8, 10))]).astype(np.float32)
    colours = principal_colours(x)
    assert colours.shape == (8, 10, 3) and 0 <= colours.min() and colours.max() <= 1
    inner = (colours[..., 0] > 0) & (colours[..., 0] < 1)
    assert np.corrcoef(colours[..., 0][inner], first[inner])[0, 1] > 0.999
    assert np.isfinite(principal_colours(np.zeros((2, 3, 3), np.float32))).all()  # no variation, two channels


def test_arrays_of_regions(deop, picture, tmp_path):
    found = inspect(deop(), picture)
    save_inspection(found, tmp_path, "a", arrays=True)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"a_{name}.{ending}" for name in OF_DEOP for ending in ("png", "npz")
    }
    with np.load(tmp_path / "a_proposals.npz") as arrays:
        np.testing.assert_array_equal(arrays["masks"], found.proposals.masks)
        np.testing.assert_array_equal(arrays["classes"], found.proposals.classes)
        assert arrays["names"].tolist() == list(found.names)
    with np.load(tmp_path / "a_heatmaps.npz") as arrays:
        np.testing.assert_array_equal(arrays["before"], found.heatmaps.before)
        np.testing.assert_array_equal(arrays["masks"], found.heatmaps.proposals.masks)
    with np.load(tmp_path / "a_severance.npz") as arrays:
        np.testing.assert_array_equal(arrays["names_masked"], found.severance.names["masked"])
        np.testing.assert_array_equal(arrays["place_none"], found.severance.place["none"])


def test_the_largest_proposals_come_first_with_their_names(deop, picture):
    found = inspect(deop("MODEL.PROPOSALS.NUM_QUERIES", 16), picture, ["proposals"])
    axes = draw_proposals(found).axes
    proposals, titles = found.proposals, [panel.get_title() for panel in axes if panel.get_visible()]
    assert titles[:2] == ["picture", "prediction"] and len(titles) == 15
    names = [*found.names, "no object"]
    for panel, title, index in zip(axes[2:], titles[2:], proposals.order, strict=False):
        best = proposals.classes[index].argmax()
        assert title == f"{names[best]} {proposals.classes[index].max():.2f}"
        assert panel.get_xlabel() == f"proposal {index}, {100 * proposals.masks[index].mean():.1f} %"
        shade = panel.images[1].get_array()[..., 3]
        np.testing.assert_allclose(shade, 0.88 * (1 - proposals.masks[index]), rtol=1e-5)
    some = replace(found, proposals=replace(proposals, masks=proposals.masks[:2], classes=np.eye(10)[[9, 9]]))
    words = " ".join(" ".join(texts(draw_proposals(some))).split())
    assert "no object 1.00" in words and "The 2 largest of 2 proposals" in words
    assert "Of all proposals, 2 most probably show no object" in words


def test_heatmaps_of_a_row_have_one_scale(deop, picture):
    found = inspect(deop(), picture, ["heatmaps"], show=["grass", "road"], point=(30, 20))
    figure, heatmaps = draw_heatmaps(found), found.heatmaps
    chosen = heatmaps.to_show((30, 20), found.labels[20, 30], found.shown)
    assert len(figure.axes) == 3 * len(chosen)
    for (_, before, after), index in zip(np.array(figure.axes).reshape(-1, 3), chosen, strict=True):
        np.testing.assert_array_equal(before.images[0].get_array(), heatmaps.before[index])
        np.testing.assert_array_equal(after.images[0].get_array(), heatmaps.after[index])
        assert before.images[0].get_clim() == after.images[0].get_clim() == (0, heatmaps.before[index].max())
        share = 100 * heatmaps.after[index].sum() / heatmaps.before[index].sum()
        assert after.get_xlabel() == f"{share:.1f} % stay"


def test_severance_has_a_row_for_each_mode(deop, picture):
    found = inspect(deop(), picture, ["severance"], show=["cat", "grass"])
    axes = draw_severance(found).axes[:8]
    assert [axes[i].get_xlabel() for i in (0, 4)] == ["severed: masked", "CLIP's attention"]
    for place, mode in ((0, "masked"), (4, "none")):
        np.testing.assert_array_equal(axes[place + 1].images[0].get_array(), found.severance.place[mode])
        for panel, name in zip(axes[place + 2 : place + 4], found.shown, strict=True):
            np.testing.assert_array_equal(panel.images[0].get_array(), found.severance.names[mode][name])
    assert len({axes[i].images[0].get_clim() for i in (2, 3, 6, 7)}) == 1


@pytest.mark.parametrize("part", ("attention", "guidance", *OF_DEOP))
@pytest.mark.parametrize("shape", [(40, 160), (160, 40)], ids=("flat", "tall"))
def test_words_do_not_cover_each_other(segmenter, deop, part, shape):
    random = np.random.default_rng(0)
    made = deop("MODEL.PROPOSALS.NUM_QUERIES", 16) if part in OF_DEOP else segmenter(num_classes=0)
    shown = NAMES[: 4 if part == "severance" else 3]
    found = inspect(made, random.integers(0, 256, (*shape, 3), np.uint8), [part], show=shown)
    found = replace(found, names=tuple(f"a long name, {name} MMMM" for name in found.names))
    figure = dict(figures_of(found))[part]
    figure.draw_without_rendering()
    words = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    words = [text for text in words if text.axes is None or text.axes.get_visible()]
    boxes = [text.get_window_extent().shrunk(0.9, 0.7) for text in words]  # letters alone
    met = [
        (words[i].get_text(), words[j].get_text())
        for i in range(len(boxes))
        for j in range(i)
        if boxes[i].overlaps(boxes[j])
    ]
    assert not met
    assert figure.get_size_inches()[1] < 26


@pytest.mark.parametrize(("number", "said"), [(0, "no names"), (1, "1 name"), (9, "9 names")])
def test_numbers_of_names_are_said_as_one_says_them(number, said):
    assert counted(number) == said
