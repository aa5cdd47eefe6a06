"""``errseg mini run``: the phases of each system, their order, and what a second call does."""

from pathlib import Path

import pytest

from errseg.config import load_config
from errseg.errors import UsageError
from errseg.mini import run as whole
from errseg.mini.pretraining import RECIPES

SETS = "mini_seen_sem_seg mini_unseen_sem_seg mini_large_sem_seg"
PHASES = {
    "errseg": [
        "mini draw",
        "mini pretrain --tower convnext --out O/clip.pt",
        "train --config mini/errseg_mini --resume MODEL.CLIP.PRETRAINED O/clip.pt OUTPUT_DIR O/errseg",
        f"evaluate --config mini/errseg_mini --weights O/errseg/model_final.pth --dataset {SETS} "
        "--out O/errseg MODEL.CLIP.PRETRAINED O/clip.pt",
    ],
    "deop": [
        "mini draw",
        "mini pretrain --tower vit --out O/clip.pt",
        "train --config mini/deop_mini_stage1 --resume MODEL.CLIP.PRETRAINED O/clip.pt OUTPUT_DIR O/stage1",
        "train --config mini/deop_mini_stage2 --resume MODEL.CLIP.PRETRAINED O/clip.pt "
        "MODEL.PROMPT.WEIGHTS O/stage1/model_final.pth OUTPUT_DIR O/stage2",
        "train --config mini/deop_mini --resume MODEL.CLIP.PRETRAINED O/clip.pt "
        "MODEL.PROMPT.WEIGHTS O/stage1/model_final.pth MODEL.PROPOSALS.WEIGHTS O/stage2/model_final.pth "
        "OUTPUT_DIR O/deop",
        f"evaluate --config mini/deop_mini --weights O/deop/model_final.pth --dataset {SETS} "
        "--out O/deop MODEL.CLIP.PRETRAINED O/clip.pt",
    ],
}


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The commands that a run gives. Those that contain ``commands.failing`` fail."""

    class Commands(list):
        failing = ""
        output = tmp_path / "output"

        def __call__(self, words):
            text = " ".join(words).replace(str(self.output), "O")
            self.append(text)
            if words[:2] == ["mini", "report"]:
                Path(words[2], "results.json").touch()
            return int(bool(self.failing) and self.failing in text)

    recorded = Commands()
    monkeypatch.setattr(whole, "_errseg", recorded)
    return recorded


@pytest.mark.parametrize("word", whole.mini_systems())
def test_phases(word, commands):
    _, mini = whole.system_named(word.upper())
    assert whole.default_output(mini) == Path("output") / ("mini" if word == "errseg" else f"mini_{word}")
    assert mini.tower in RECIPES and load_config(mini.config).MODEL.META_ARCHITECTURE
    assert whole.run(word, commands.output) == 0
    *phases, report = commands
    assert report.startswith(f"mini report O --config {mini.config} --seconds ")
    if word in PHASES:
        assert phases == PHASES[word]
    assert len({phase.name for phase in whole.phases_of(mini, commands.output)}) == len(phases)


def test_an_interrupted_run_goes_on_and_a_finished_one_starts_again(commands):
    commands.failing = "OUTPUT_DIR O/stage2"
    assert whole.run("deop", commands.output) == 1 and commands == PHASES["deop"][:4]
    commands.clear()
    commands.failing = ""
    assert whole.run("deop", commands.output) == 0 and commands[:-1] == PHASES["deop"][3:]
    (commands.output / "stage1").mkdir()
    commands.clear()
    assert whole.run("deop", commands.output) == 0 and commands[:-1] == PHASES["deop"]
    assert not (commands.output / "stage1").exists()


def test_a_seed_is_that_of_the_training(commands):
    _, mini = whole.system_named("deop")
    phases = {phase.name: " ".join(phase.words) for phase in whole.phases_of(mini, commands.output, seed=3)}
    assert [name for name, words in phases.items() if " SEED 3" in words] == ["stage1", "stage2", "deop"]


@pytest.mark.parametrize("content", ["[1]", '{"clip": "soon"}', "no JSON"])
def test_times_that_cannot_be_read(content, commands):
    commands.output.mkdir()
    (commands.output / whole.TIMES).write_text(content)
    with pytest.raises(UsageError, match=whole.TIMES):
        whole.run("errseg", commands.output)
    assert not commands


def test_an_unknown_system():
    with pytest.raises(UsageError, match="SYSTEM is 'maskformer'; the mini world has .*deop, errseg"):
        whole.run("maskformer")


def test_the_last_stage_starts_from_those_before(tmp_path):
    _, mini = whole.system_named("deop")
    with pytest.raises(UsageError, match="clip.pt; run errseg mini run deop --out .* first"):
        whole.starts_of(mini, tmp_path)
    for name in ("clip.pt", "stage1/model_final.pth", "stage2/model_final.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert whole.starts_of(mini, tmp_path) == [
        *("MODEL.PROMPT.WEIGHTS", str(tmp_path / "stage1/model_final.pth")),
        *("MODEL.PROPOSALS.WEIGHTS", str(tmp_path / "stage2/model_final.pth")),
    ]
    assert whole.starts_of(whole.system_named("errseg")[1], tmp_path / "empty") == []
