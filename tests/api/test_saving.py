"""A model as a folder and on the hub: what is written is what loads, and the card tells what is known."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard

import errseg
from errseg.errors import UsageError
from errseg.evaluation.provenance import file_digest, state_digest
from errseg.modeling import system_of
from tests.conftest import DATA
from tests.tiny import SYSTEMS, blobs, tiny_segmenter, write_run

NAMES = ["cat", "grass", "sky, heaven"]


def evaluation_of(model, **result):
    """An evaluation of a model's weights, as errseg evaluate writes it."""
    score = {"paper_name": "A-150", "images": 2, "mIoU": 35.84, "fwIoU": 70.0, "mACC": 50.0, "pACC": None, **result}
    per_class = {"classes": ["a"], "iou": [1.0], "acc": [1.0], "pixels": [1]}
    return {
        "results": {"ade20k_150_test_sem_seg": {**score, **per_class, "confusions": []}},
        "date": "2026-05-04T03:02:01+00:00",
        "weights": {"file": "/data/me/model_final.pth", "sha256": None, "state_sha256": state_digest(model.items())},
        "versions": {"errseg": "0.2.0", "torch": "2.11.0"},
        "config": {"OUTPUT_DIR": "/data/me/run"},
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """``runs(system)``: the folder of a run of a tiny model."""
    made = {}

    def make(system):
        if system not in made:
            made[system] = write_run(tmp_path_factory.mktemp("runs") / system, system)
            (made[system] / "metrics.json").touch()
        return made[system]

    return make


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_saved_model_is_the_model(system, runs, tmp_path, monkeypatch):
    run = runs(system)
    segmenter = errseg.load(run, device="cpu", verbose=False)
    segmenter.save_pretrained(tmp_path / "saved", license="mit")
    written = sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert written == ["README.md", "clip.json", "config.yaml", "model.safetensors", "preprocessing.json"]
    assert not any(str(run.parent) in path.read_text() for path in (tmp_path / "saved").glob("*[!s]"))
    monkeypatch.chdir(tmp_path)
    again = errseg.load("saved", device="cpu", verbose=False)
    for each in (segmenter, again):
        each.set_vocabulary(NAMES)
    assert (again(blobs()).labels == segmenter(blobs()).labels).all()
    assert (again(blobs()).scores == segmenter(blobs()).scores).all()
    card = ModelCard.load(tmp_path / "saved/README.md")
    assert (card.data.library_name, card.data.license) == ("errseg", "mit")
    assert system_of(segmenter.cfg).citation in card.text and file_digest("saved/model.safetensors") in card.text
    assert "`model_final.pth` of a training run" in card.text and "No scores of these weights" in card.text
    again.save_pretrained("twice")  # the origin is not lost on the way
    assert "`model_final.pth` of a training run" in (tmp_path / "twice/README.md").read_text()
    described = json.loads((tmp_path / "twice/preprocessing.json").read_text())
    assert described["errseg"]["weights"]["state_sha256"] == state_digest(segmenter.model.state_dict().items())
    assert described["network"]["keeps_aspect"] == segmenter.model.views.native


def test_the_scores_of_these_weights_and_of_no_others(runs, tmp_path):
    segmenter = errseg.load(runs("ERRSeg") / "model_final.pth", device="cpu", verbose=False)
    path = tmp_path / "evaluation.json"
    content = evaluation_of(segmenter.model.state_dict(), intervals={"mIoU": [35.1, 36.4], "mACC": None})
    path.write_text(json.dumps(content))
    segmenter.save_pretrained(tmp_path / "saved", evaluation=path, repo_id="me/errseg")
    card = ModelCard.load(tmp_path / "saved/README.md")
    assert "| A-150 | 2 | 35.84 [35.1, 36.4] | 70.00 | 50.00 | – |" in card.text
    assert 'errseg.load("me/errseg")' in card.text and "errseg 0.2.0 and torch 2.11.0" in card.text
    (score,) = card.data.eval_results
    assert (score.metric_type, score.dataset_name, score.dataset_type) == (
        "mean_iou",
        "A-150",
        "ade20k_150_test_sem_seg",
    )
    kept = (tmp_path / "saved/evaluation.json").read_text()
    assert "/data/me" not in kept and json.loads(kept)["weights"]["file"] == "model.safetensors"
    errseg.load(tmp_path / "saved", verbose=False).save_pretrained(tmp_path / "twice")
    assert "35.1, 36.4" in (tmp_path / "twice/README.md").read_text()
    content["weights"]["state_sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match="evaluation.json is an evaluation of other weights"):
        segmenter.save_pretrained(tmp_path / "other", evaluation=tmp_path)
    (runs("ERRSeg") / "evaluation.json").write_text(json.dumps(content))
    segmenter.save_pretrained(tmp_path / "other")
    assert "The evaluation beside the weights is of other weights." in (tmp_path / "other/README.md").read_text()


def test_what_cannot_be_saved(tmp_path):
    segmenter = tiny_segmenter("ERRSeg")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/README.md").write_text("# My notes")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="README.md is no model card of errseg's"):
        segmenter.save_pretrained(tmp_path / "mine")
    with pytest.raises(UsageError, match="a file is in the place of a folder"):
        segmenter.save_pretrained(tmp_path / "file")
    segmenter.save_pretrained(tmp_path / "new")
    assert "is not recorded" in (tmp_path / "new/README.md").read_text()
    segmenter.model.set_precision("bfloat16")
    with pytest.raises(UsageError, match="rounded to bfloat16"):
        segmenter.save_pretrained(tmp_path / "new")


def test_sent_to_the_hub_and_loaded_from_there(hub, runs, tmp_path, command):
    status, out, err = command(
        "save", runs("ERRSeg"), "--push", "me/errseg", "--license", "mit", "--out", tmp_path / "x"
    )
    assert status == 0 and "commit/1" in out and "config.yaml" in out, err
    sent = hub.files["me/errseg"]["main"]
    assert set(sent) == {"README.md", "clip.json", "config.yaml", "model.safetensors", "preprocessing.json"}
    assert b'errseg.load("me/errseg")' in sent["README.md"]
    segmenter = errseg.load("me/errseg", device="cpu", verbose=False)
    own = state_digest(segmenter.model.state_dict().items())
    assert own == state_digest(errseg.load(runs("ERRSeg"), verbose=False).model.state_dict().items())
    assert state_digest(errseg.Segmenter.from_pretrained("me/errseg", verbose=False).model.state_dict().items()) == own
    assert errseg.load("errseg_convnext_base", "hf://me/errseg", overrides=tiny_keys(sent), verbose=False)
    for arguments, words in (
        ({"config": runs("ERRSeg"), "revision": "v1"}, "is no id of a model on the hub"),
        ({"config": "me/errseg@main", "revision": "v1"}, "names a revision too"),
        ({"config": "me/errseg", "revision": "v1"}, "me/errseg has no revision v1"),
        ({"config": segmenter.cfg, "revision": "v1"}, "a configuration is no id"),
        ({"config": "ablations/table5_without_crn"}, "did you mean ablations/table5_without_crm"),
    ):
        with pytest.raises(UsageError, match=words):
            errseg.load(**arguments)
    hub.files["me/errseg"]["main"]["config.yaml"] = b"!!python/object/apply:os.system [echo]"
    with pytest.raises(UsageError, match="has the tag"):  # what comes from the hub is data
        errseg.load("me/errseg")
    hub.close()
    with pytest.raises(UsageError, match="was not sent to http.*since it cannot be reached"):
        segmenter.push_to_hub("me/errseg")
    hub.close = lambda: None


def tiny_keys(sent):
    """The keys of a saved configuration that decide the shapes of the tiny model."""
    escf = yaml.safe_load(sent["config.yaml"])["MODEL"]["ESCF"]
    keys = [word for key in ("DIM", "NUM_LAYERS") for word in (f"MODEL.ESCF.{key}", escf[key])]
    return ["MODEL.CLIP.NAME", str(DATA / "tiny_clip.json"), *keys]


@pytest.mark.parametrize(
    ("words", "message"),
    [((), "nothing to do; add --out DIR"), (("--out", "x", "--private"), "--private and --branch belong to --push")],
)
def test_the_command_without_a_place(command, words, message):
    status, _, err = command("save", "run", *words)
    assert status == 2 and message in err and err.count("\n") == 1
