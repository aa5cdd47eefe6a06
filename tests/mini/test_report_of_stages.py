"""The commands of the quickstart of DeOP, on a few scenes and with single steps: each starts from the one before."""

import json

import torch

from errseg.config import config_path
from errseg.mini import register_mini
from errseg.mini.generate import generate

SETS = ("mini_seen_sem_seg", "mini_unseen_sem_seg", "mini_large_sem_seg")


def weights_of(path):
    return torch.load(path, weights_only=True)["model"]


def test_from_the_scenes_to_the_report(command, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "data"))
    generate(tmp_path / "data", {"train": 4, "seen": 2, "unseen": 2, "large": 2}, workers=1)
    register_mini()
    out = tmp_path / "out"
    clip, prompt, proposals = out / "clip.pt", out / "stage1/model_final.pth", out / "stage2/model_final.pth"
    quick = ("MODEL.CLIP.PRETRAINED", clip, "SOLVER.MAX_ITER", 1, "SOLVER.IMS_PER_BATCH", 2, "TEST.EVAL_PERIOD", 0)

    def succeed(*words):
        status, output, errors = command(*words)
        assert status == 0, errors
        return output

    def train(config, folder, *keys):
        succeed("train", "--config", f"mini/{config}", *quick, "DATASETS.TEST", "()", "OUTPUT_DIR", out / folder, *keys)

    try:
        steps = ("--contrastive-steps", 0, "--dense-steps", 1, "--probe-scenes", 1)
        succeed("mini", "pretrain", "--tower", "vit", "--out", clip, *steps)
        train("deop_mini_stage1", "stage1")
        train("deop_mini_stage2", "stage2", "MODEL.PROMPT.WEIGHTS", prompt)
        starts = ("MODEL.PROMPT.WEIGHTS", prompt, "MODEL.PROPOSALS.WEIGHTS", proposals)
        train("deop_mini", "deop", *starts, "MODEL.PROMPT.TRAINED", False)
        final = out / "deop/model_final.pth"
        words = ("--weights", final, "--dataset", *SETS, "--out", out / "deop")
        succeed("evaluate", "--config", "mini/deop_mini", *words, "MODEL.CLIP.PRETRAINED", clip)
        table = succeed("mini", "report", out, "--config", config_path("mini/deop_mini"), "--seconds", 60)
    finally:
        monkeypatch.undo()
        register_mini()
    last, first, second = weights_of(final), weights_of(prompt), weights_of(proposals)
    assert torch.equal(last["prompt.prefix"], first["prompt.prefix"])
    of_proposals = [name for name in last if name.startswith("proposals.")]
    assert len(of_proposals) > 50 and all(torch.equal(last[name], second[name]) for name in of_proposals)
    assert "| mask recall | classes of true masks |" in " ".join(table.split()).replace(" |", " |")
    results = json.loads((out / "results.json").read_text())
    assert set(results["details"]["unseen"]["measures"]) == {"mask recall", "classes of true masks"}
    evaluated = json.loads((out / "deop/evaluation.json").read_text())["results"]
    assert "hIoU" in evaluated["mini_large_sem_seg"] and "hIoU" not in evaluated["mini_seen_sem_seg"]
    assert {"curves.png", "overlays_seen.png", "overlays_unseen.png"} <= {path.name for path in out.iterdir()}
