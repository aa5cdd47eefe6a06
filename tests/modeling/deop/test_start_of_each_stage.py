"""The three stages one after another, with the configurations that users take, on a tiny data set."""

import json

import torch

import errseg
from errseg.weight_files import load_state_dict_file
from tests.conftest import TINY_SYSTEMS

KEYS = [
    *TINY_SYSTEMS["DeOP"],
    *("MODEL.PROPOSALS.BACKBONE", "ResNet18cHalf"),
    *("MODEL.DEVICE", "cpu", "MODEL.CLIP.PRETRAINED", "", "DATALOADER.NUM_WORKERS", 0, "SEED", 3),
    *("INPUT.RESOLUTION_TRAIN", 64, "INPUT.RESOLUTION_TEST", 64, "INPUT.MIN_SIZE_TRAIN", (64,)),
    *("INPUT.MIN_SIZE_TEST", 64, "INPUT.SIZE_DIVISIBILITY", 64, "INPUT.CROP.SIZE", [64, 64]),
    *("SOLVER.IMS_PER_BATCH", 2, "SOLVER.MAX_ITER", 2, "SOLVER.CHECKPOINT_PERIOD", 1, "TEST.EVAL_PERIOD", 0),
]


def weights_of(folder):
    return load_state_dict_file(str(folder / "model_final.pth"))["model"]


def equal(ours, theirs, prefix):
    keys = [key for key in theirs if key.startswith(prefix)]
    return bool(keys) and all(torch.equal(ours[key], theirs[key]) for key in keys)


def test_each_stage_starts_from_the_one_before_and_resumes(tiny_datasets, tmp_path, command):
    prompt, proposals = tmp_path / "1", tmp_path / "2"
    starts = {
        "stage1_prompt": (prompt, []),
        "stage2_proposals": (proposals, ["MODEL.PROMPT.WEIGHTS", prompt / "model_final.pth"]),
        "stage3_deop": (
            tmp_path / "3",
            [
                "MODEL.PROMPT.WEIGHTS",
                prompt / "model_final.pth",
                "MODEL.PROPOSALS.WEIGHTS",
                proposals / "model_final.pth",
            ],
        ),
    }
    trained = {}
    for stage, (folder, start) in starts.items():
        call = ["train", "--config", f"deop/{stage}", *KEYS, *start, "OUTPUT_DIR", folder]
        assert command(*call, "SOLVER.MAX_ITER", 1)[0] == 0
        status, _, errors = command("train", "--resume", *call[1:])
        assert status == 0, errors
        trained[stage] = weights_of(folder)
    one, two, three = trained.values()
    assert equal(two, one, "prompt.") and equal(three, two, "proposals.")  # frozen in the later stage
    assert not equal(three, one, "prompt.") and not equal(three, two, "classifier.")  # trained on
    assert equal(three, one, "backbone.clip.")

    found = ["--config", "deop/stage3_deop", "--weights", tmp_path / "3/model_final.pth", "--out", tmp_path]
    status, shown, _ = command("evaluate", *found, "--dataset", "coco_2017_test_stuff_15_unseen_sem_seg", *KEYS)
    assert status == 0 and "hIoU" in shown
    [scores] = json.loads((tmp_path / "evaluation.json").read_text())["results"].values()
    assert {"mIoU", "mIoU_seen", "mIoU_unseen", "hIoU"} <= scores.keys()
    model = errseg.load(tmp_path / "3/config.yaml", tmp_path / "3/model_final.pth")
    model.set_vocabulary(["cat", "sky"])
    assert model(next((tiny_datasets / "coco-stuff/images/val2017").iterdir())).labels.max() <= 1
