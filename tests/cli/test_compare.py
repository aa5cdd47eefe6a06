"""errseg compare: differences, and warnings where two evaluations were not measured alike."""

import copy
import json

import pytest

from errseg.config import get_cfg
from errseg.config.settings import flatten
from errseg.evaluation import SCORES
from errseg.evaluation.interest import interest_scores
from tests.evaluation.test_bootstrap import CLASSES, confusions, packed


def result(paper_name, ious, **changes):
    scores = dict.fromkeys(SCORES, sum(x for x in ious if x is not None) / len(ious))
    classes = [f"class {i}, synonym" for i in range(len(ious))]
    data = {"images": 4, "checksum": "c" * 64, "num_classes_test": 2}
    return {"paper_name": paper_name, **data, **scores, "classes": classes, "iou": ious, **changes}


@pytest.fixture
def run():
    config = json.loads(json.dumps(get_cfg()))
    return {
        "results": {"a150": result("A-150", [10.0, 20.0, None, 40.0, 50.0]), "a847": result("A-847", [1.0, 2.0])},
        "date": "2030-01-01T00:00:00+00:00",
        "weights": {"file": "a.pth", "sha256": "a" * 64, "state_sha256": "b" * 64},
        "versions": {"torch": "2.11.0"},
        "config": config,
    }


@pytest.fixture
def compare(command, tmp_path):
    """``compare(a, b, *options)``: exit status, output, errors."""

    def call(a, b, *options):
        paths = []
        for letter, content in zip("ab", (a, b), strict=True):
            folder = tmp_path / letter
            folder.mkdir(exist_ok=True)
            (folder / "evaluation.json").write_text(content if isinstance(content, str) else json.dumps(content))
            paths.append(str(folder))
        return command("compare", *paths, *options)

    return call


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_equal_runs_have_no_differences_and_no_warnings(compare, run):
    status, out, err = compare(run, run)
    assert status == 0 and not err and "WARNING" not in out and "differ in:" not in out
    assert "A-150: 0 of 5 classes differ in IoU." in out
    table = cells(out)
    assert table[0] == ["", "A-847", "A-150"]  # the paper's order
    assert ["difference", "+0.00", "+0.00"] in table and len(table) == 2 + 3 * len(SCORES)
    assert "weights bbbbbbbbbbbb (a.pth)" in out and "2030-01-01" in out


def test_differences_are_sorted_from_loss_to_gain(compare, run):
    other = copy.deepcopy(run)
    other["results"]["a150"] = result("A-150", [13.5, 15.0, None, 40.0, 49.0])
    status, out, _ = compare(run, other)
    assert status == 0 and "A-150: 3 of 5 classes differ in IoU" in out and "WARNING" not in out
    table = [row[0:2] + row[-1:] for row in cells(out) if row[0].isdigit()]
    assert table == [
        ["1", "class 1, synonym", "-5.00"],
        ["4", "class 4, synonym", "-1.00"],
        ["0", "class 0, synonym", "+3.50"],
    ]
    assert ["mIoU A", "1.50", "24.00"] in cells(out) and ["difference", "+0.00", "-0.50"] in cells(out)
    _, out, _ = compare(run, other, "--top", "1")
    assert [row[0] for row in cells(out) if row[0].isdigit()] == ["1", "0"] and "1 largest losses" in out
    _, out, _ = compare(run, other, "--top", "0")
    assert [row[0] for row in cells(out) if row[0].isdigit()] == ["1", "4", "0"]


def warnings(out):
    return [line for line in out.splitlines() if line.startswith("WARNING")]


def test_the_scores_of_a_split_are_compared_where_there_are_any(compare, run):
    run["results"]["a150"] |= {"mIoU_seen": 40.0, "mIoU_unseen": 20.0, "hIoU": 26.67, "unseen": [1, 2]}
    other = copy.deepcopy(run)
    other["results"]["a150"] |= {"mIoU_unseen": 30.0, "hIoU": None}
    status, out, _ = compare(run, other)
    assert status == 0 and not warnings(out)
    table = cells(out)
    assert ["mIoU_unseen A", "–", "20.00"] in table and ["mIoU_unseen B", "–", "30.00"] in table
    assert ["difference", "–", "+10.00"] in table and ["hIoU B", "–", "–"] in table
    assert [row[0] for row in table[2:13:3]] == ["mIoU A", "mIoU_seen A", "mIoU_unseen A", "hIoU A"]
    for unseen, words in (([1], "2 classes in A, 1 in B"), (None, "2 classes in A, no in B")):
        other["results"]["a150"]["unseen"] = unseen
        assert warnings(compare(run, other)[1]) == [f"WARNING: A-150: the unseen classes differ ({words})."]
    other["results"]["a150"]["hIoU"] = "high"
    status, _, err = compare(run, other)
    assert status == 2 and "lacks scores" in err


def test_a_difference_is_judged_by_its_interval_over_images(compare, run):
    a = confusions(30)
    better, other = a.copy(), confusions(30, seed=1)
    better[:, range(CLASSES - 1), range(CLASSES - 1)] += 5

    def with_images(matrices):
        content = copy.deepcopy(run)
        content["results"]["a150"] = result("A-150", [30.0] * CLASSES, per_image=packed(matrices))
        return content

    status, out, _ = compare(with_images(a), with_images(better))
    assert status == 0 and "A-150: the difference of mIoU, +0.00, is more than what the choice of the 4 images" in out
    assert next(row for row in cells(out) if row[0] == "95 % interval")[1] == "–"  # A-847 has no images
    assert "A-847: whether the difference is more than chance is not known (a file of an older version" in out
    _, out, _ = compare(with_images(a), with_images(other))
    assert "is within what the choice of the 4 images explains (95 % interval -" in out
    moved = with_images(better)
    moved["results"]["a150"]["checksum"] = "d" * 64
    _, out, _ = compare(with_images(a), moved)
    assert "A-150: whether the difference is more than chance is not known (the evaluations are of other images)" in out
    moved = with_images(better)
    moved["results"]["a150"] |= {"per_image": {**packed(a), "data": "AA=="}, "paper_name": "A-150"}
    status, _, err = compare(with_images(a), moved)
    assert status == 2 and "The results of A-150 are damaged (the confusions of its images have another length" in err


def test_the_interval_of_a_difference_over_classes_of_interest_is_over_these(compare, run):
    def of_interest(matrices, ids):
        content, score = copy.deepcopy(run), interest_scores(matrices.sum(0), ids)
        spread = {"per_image": packed(matrices), "classes_of_interest": ids}
        content["results"] = {"a150": result("A-150", [30.0] * CLASSES, **spread) | score}
        return content

    better = (a := confusions(30)).copy()
    better[:, 0, 0] += 5  # of a class that is not of interest
    rows = cells(compare(of_interest(a, [2, 3]), of_interest(better, [2, 3]))[1])
    place = [row[0] for row in rows].index("CoI-mIoU A")
    assert rows[place + 2][1] == "+0.00" and rows[place + 3] == ["95 % interval", "+0.00 to +0.00"]
    _, out, _ = compare(of_interest(a, [2, 3]), of_interest(better, [0]))
    assert any("A-150: the classes of interest differ" in line for line in warnings(out))
    damaged = of_interest(better, [2, 3])
    damaged["results"]["a150"]["classes_of_interest"] = [CLASSES]
    status, _, err = compare(of_interest(a, [2, 3]), damaged)
    assert status == 2 and "its classes_of_interest are no ids of classes" in err


def test_other_data_k_or_names_are_warned_of(compare, run):
    other = copy.deepcopy(run)
    other["results"]["a150"] |= {"checksum": "d" * 64, "images": 5, "num_classes_test": 3}
    del other["results"]["a847"]["checksum"]
    other["results"]["a847"]["classes"] = ["x", "y"]
    _, out, _ = compare(run, other)
    found = "\n".join(warnings(out))
    assert "A-150: the data differ: 4 images of checksum cccccccccccc in A, 5 of dddddddddddd in B" in found
    assert "A-150: K is 2 in A and 3 in B" in found
    assert "A-847: a file without checksum" in found and "A-847: the vocabularies differ" in found
    assert len(warnings(out)) == 4 and "A-150: 0 of 5 classes differ" in out and "A-847: 0 of" not in out


@pytest.mark.parametrize(
    ("key", "value", "is_test_option"),
    [
        ("TEST.FLIP", True, True),
        ("TEST.MEAN_OVER", "ground_truth_or_prediction", True),
        ("INPUT.RESOLUTION_TEST", 768, True),
        ("MODEL.PROMPT.TEMPLATES", ["a {}"], True),
        ("MODEL.CRM.NUM_CLASSES_TEST", 7, True),
        ("MODEL.ESCF.STAR", False, False),
        ("MODEL.CLIP.NAME", "convnext_large_d_320", False),
    ],
)
def test_a_test_option_is_a_warning_and_a_model_a_difference(compare, run, key, value, is_test_option):
    other = copy.deepcopy(run)
    *sections, last = key.split(".")
    node = other["config"]
    for section in sections:
        node = node[section]
    old = flatten(other["config"])[key]
    node[last] = value
    _, out, _ = compare(run, other)
    assert f"  {key}: {old!r} -> {value!r}" in out
    expected = [f"WARNING: the test option {key} is {old!r} in A and {value!r} in B."]
    assert warnings(out) == (expected if is_test_option else [])


def test_files_of_older_versions_are_compared_with_a_warning(compare, run):
    old = {"results": copy.deepcopy(run["results"])}
    for each in old["results"].values():
        del each["checksum"], each["images"]
    status, out, _ = compare(old, run)
    assert status == 0 and len(warnings(out)) == 3 and "holds no configuration" in out
    assert "weights not recorded" in out


def test_a_set_of_one_run_alone_is_said(compare, run):
    other = copy.deepcopy(run)
    del other["results"]["a847"]
    _, out, _ = compare(run, other)
    assert warnings(out) == ["WARNING: a847 is only in A."] and cells(out)[0] == ["", "A-150"]


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "{}", '{"results": []}', '{"results": {"a": {"iou": [1], "classes": ["x"]}}}', '{"results": {"a": 1}}'],
)
def test_what_is_no_evaluation_is_named(compare, run, content):
    status, out, err = compare(run, content)
    assert status == 2 and not out and "b/evaluation.json is no evaluation of errseg" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("results", "a150", "paper_name"), 5, "paper_name or the checksum of a150 is no text"),
        (("results", "a150", "checksum"), None, "paper_name or the checksum of a150 is no text"),
        (("results", "a150", "classes"), [1] * 5, "the classes of a150 are no list of names"),
        (("results", "a150", "iou"), ["x"] * 5, "a150 lacks scores"),
        (("results", "a150", "mIoU"), "x", "a150 lacks scores"),
        (("results", "a150", "mIoU"), 1e308, "a150 lacks scores"),
        (("results", "a150", "intervals"), {"mIoU": [1, "x"]}, "the intervals of a150 are no pairs of percentages"),
        (("config",), [1], "its config is no mapping"),
        (("weights", "state_sha256"), 5, "state_sha256 of its weights is no text"),
    ],
)
def test_a_value_of_another_type_is_named(compare, run, place, value, words):
    other = copy.deepcopy(run)
    node = other
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    status, out, err = compare(run, other)
    assert status == 2 and not out and "b/evaluation.json is no evaluation of errseg" in err and words in err


def test_deep_nesting_and_long_paths_are_one_sentence(compare, run, command):
    status, _, err = compare(run, "[" * 100_000)
    assert status == 2 and "nests its values too deeply" in err and err.count("\n") == 1
    status, _, err = command("compare", "a" * 5000, "a\0b")
    assert status == 2 and "does not exist" in err


def test_mistakes_are_one_sentence(compare, command, run, tmp_path):
    other = copy.deepcopy(run)
    other["results"] = {"b": result("B", [1.0])}
    status, _, err = compare(run, other)
    assert status == 2 and "have no data set in common (a150, a847; b)" in err and err.count("\n") == 1
    status, _, err = compare(run, run, "--top", "-1")
    assert status == 2 and "--top is -1" in err
    status, _, err = command("compare", tmp_path / "none", tmp_path)
    assert status == 2 and "none does not exist" in err
