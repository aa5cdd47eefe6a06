"""Evaluation in shards: the merged file is that of one run, and shards of different runs are refused."""

import json
import shutil

import pytest

from errseg.errors import UsageError
from errseg.evaluation import evaluate
from errseg.evaluation.shards import FILE, Shard, evaluate_shard, merge_shards, shard_of

from .oracle import LabelOracle, random_set

SETS = ["seven", "four"]


@pytest.fixture
def shards(cfg, tmp_path):
    """The folders of three shards of two data sets; a picture's name is in no order of digests."""
    for seed, (name, images) in enumerate(zip(SETS, (7, 4), strict=True)):
        random_set(tmp_path, name, images=images, classes=6, seed=seed, unseen_classes=[1, 3])
    folders = []
    for number in (1, 2, 3):
        own, shard = cfg.clone(), Shard(number, 3)
        own.OUTPUT_DIR = str(tmp_path / shard.folder)
        model = LabelOracle().eval()
        evaluate_shard(own, model, SETS, None, shard)
        assert len(model.predicted) == (5, 3, 3)[number - 1]
        folders.append(tmp_path / shard.folder)
    return folders


def test_three_shards_give_the_file_of_one_run(cfg, shards, tmp_path):
    expected = evaluate(cfg, LabelOracle(), SETS)
    whole = json.loads((tmp_path / "output/evaluation.json").read_text())
    cfg.OUTPUT_DIR = str(tmp_path / "merged")
    assert merge_shards(cfg, [shards[2], shards[0], shards[1]]) == expected
    merged = json.loads((tmp_path / "merged/evaluation.json").read_text())
    for content in (whole, merged):
        del content["date"], content["config"]["OUTPUT_DIR"]
    assert merged == whole and None not in merged["results"]["seven"]["intervals"].values()
    csv = [(tmp_path / name / "evaluation/seven.csv").read_text() for name in ("output", "merged")]
    assert csv[0] == csv[1]


def test_a_shard_goes_on_from_the_predictions_that_it_saved(cfg, shards, tmp_path):
    cfg.OUTPUT_DIR, saved, shard = str(tmp_path / "again"), tmp_path / "saved", Shard(2, 3)
    for predicted in (3, 1, 0):
        model = LabelOracle().eval()
        evaluate_shard(cfg, model, SETS, None, shard, saved)
        assert len(model.predicted) == predicted
        files = sorted((saved / shard.folder).rglob("*.png"))
        assert len(files) == 3
        if predicted == 3:
            files[1].unlink()
    found, expected = (json.loads((folder / FILE).read_text()) for folder in (tmp_path / "again", shards[1]))
    assert found["sets"] == expected["sets"]


def _changed(folder, change):
    content = json.loads((folder / FILE).read_text())
    change(content)
    (folder / FILE).write_text(json.dumps(content))


def test_shards_that_do_not_fit_are_refused(cfg, shards, tmp_path):
    cases = [
        (lambda x: x["weights"].update(state_sha256="0"), "other weights than"),
        (lambda x: x["config"]["TEST"].update(MEAN_OVER="x"), "another configuration than"),
        (lambda x: x["sets"]["four"].update(listing="0"), "other data sets than"),
        (lambda x: x["shard"].__setitem__(1, 4), "another number of shards than"),
        (lambda x: x.pop("sets"), "no shard of an evaluation"),
        (lambda x: x["sets"]["seven"]["matrix"][1].__setitem__(0, 999), "is damaged .its matrix is not the sum"),
        (lambda x: x["sets"]["seven"]["digests"].pop(), "is damaged"),
        (lambda x: x["sets"]["seven"].update(x["sets"]["four"], listing=x["sets"]["seven"]["listing"], pictures=7),
         "shard_2_of_3/shard.json has 1 pictures, but its shard has 2"),
    ]  # fmt: skip
    for change, words in cases:
        folder = tmp_path / "copy" / "shard_2_of_3"
        shutil.copytree(shards[1], folder)
        _changed(folder, change)
        with pytest.raises(UsageError, match=words):
            merge_shards(cfg, [shards[0], folder, shards[2]])
        shutil.rmtree(folder)
    with pytest.raises(UsageError, match="The shards 2/3 are missing"):
        merge_shards(cfg, [shards[0], shards[2]])
    with pytest.raises(UsageError, match="are the same shard 1/3"):
        merge_shards(cfg, [shards[0], shards[0], shards[1]])
    with pytest.raises(UsageError, match="four has 4 pictures; "):
        evaluate_shard(cfg, LabelOracle(), SETS, None, Shard(1, 5))


@pytest.mark.parametrize("text", ["3/2", "0/2", "1", "a/b", "-1/2", "1/0"])
def test_a_shard_out_of_range_is_refused(text):
    with pytest.raises(UsageError, match="give I/N"):
        shard_of(text)
