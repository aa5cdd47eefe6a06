"""errseg tune-k: the table, the files, and what it refuses."""

import json

import pytest

from errseg.config import load_config
from tests.tiny import write_run

SET = "coco_2017_test_stuff_all_sem_seg"
MOST = ("MODEL.CRM.AUTO_MAX", 171)


def test_the_table_and_a_configuration_with_the_threshold(command, tiny_datasets, tmp_path):
    run, out = write_run(tmp_path / "run", "ERRSeg", "DATALOADER.NUM_WORKERS", 0), tmp_path / "out"
    options = ["--dataset", SET, "--limit", 1, "--thresholds", "0.2,0.3", "--fixed", "2", "--out", out]
    status, text, _ = command("tune-k", "--weights", run, run, *options, "MODEL.CRM.AUTO_MAX", 8)
    assert status == 0
    lines = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert lines[2:] == ["the data set's K", "K = 2", "auto 0.2", "auto 0.3"]
    assert "± 0.0 |" in text and (out / "tune_k.md").read_text().strip() in text
    said = json.loads((out / "tune_k.json").read_text())
    first, second = (row[SET] for row in said["rows"][2]["runs"])
    assert first["kept"] == second["kept"] <= 8 and first.keys() == {"mIoU", "recall", "kept", "largest", "decoder_s"}
    cfg = load_config(str(out / "auto_k.yaml"))
    assert (cfg.MODEL.CRM.NUM_CLASSES_TEST, cfg.MODEL.CRM.AUTO_MAX) == ("auto", 8)
    assert cfg.MODEL.CRM.AUTO_THRESHOLD == said["best"]["threshold"] in (0.2, 0.3)


def test_the_threshold_is_chosen_by_other_images_than_those_of_the_table(command, tiny_datasets, tmp_path):
    run, outs = write_run(tmp_path / "run", "ERRSeg", "DATALOADER.NUM_WORKERS", 0), [tmp_path / "a", tmp_path / "b"]
    options = ["--dataset", SET, "--thresholds", "0.002,0.02", "--fixed", "40,80"]
    status, text, _ = command("tune-k", "--weights", run, *options, "--hold-out", "--limit", 2, "--out", outs[0], *MOST)
    assert status == 0 and "is the best of 2 thresholds by every second image, and the table is of the others." in text
    assert "mIoU against the best fixed K of each data set: COCO-Stuff " in text
    assert command("tune-k", "--weights", run, *options, "--limit", 1, "--out", outs[1], *MOST)[0] == 0
    halves, first = (json.loads((out / "tune_k.json").read_text()) for out in outs)

    def figures(said, key):
        return [[row[key][0][SET][figure] for figure in ("mIoU", "recall", "kept")] for row in said["rows"]]

    assert figures(halves, "chosen_by") == figures(first, "runs") != figures(halves, "runs")
    status, _, err = command("tune-k", "--weights", run, *options, "--hold-out", "--limit", 1)
    assert status == 2 and f"{SET} has no image for this measurement" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--thresholds", "0.1,x"), "'0.1,x' has a part that is no number"),
        (("--thresholds", "5"), "'5' has no thresholds from 0 to 2"),
        (("--fixed", "4,0"), "'0' is not a positive number"),
        (("MODEL.CRM.ENABLED", "False"), "num_classes = auto, but this ERRSeg keeps every name"),
    ],
)
def test_mistakes_are_one_sentence(command, tmp_path, words, sentence):
    run = write_run(tmp_path / "run", "ERRSeg") if "ENABLED" in words[0] else tmp_path
    status, _, err = command("tune-k", "--weights", run, *words)
    assert status == 2 and sentence in err
