"""tools/train_net.py: a kill and a resume, two processes, evaluation, and what it says of mistakes."""

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.utils import comm
from PIL import Image

import errseg
import errseg.engine.launch
from errseg.engine import load_config, start_processes, torchrun_world
from errseg.engine.launch import RankKilled
from errseg.errors import UsageError
from tests.data.third_party import NAMES as THEIR_NAMES
from tests.data.third_party import write_dataset
from tests.warm import holding, quickly, run_script

TOOL = Path(__file__).parents[2] / "tools/train_net.py"
TIMEOUT = 240  # seconds, on a loaded machine


@pytest.fixture
def start(tiny_config_file, tmp_path):
    """Starts the tool on the tiny run; output goes to a file."""
    started = []

    def start_tool(output, *arguments, overrides=()):
        words = ["--config-file", tiny_config_file, *arguments, "OUTPUT_DIR", tmp_path / output, *overrides]
        started.append(run_script(TOOL, words, tmp_path, tmp_path / f"log{len(started)}.txt"))
        return started[-1]

    yield start_tool
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def random_weights(tiny_config_file, tmp_path):
    """A checkpoint of the tiny model: without one, each process would draw weights of its own."""
    torch.manual_seed(0)
    model = errseg.build_model(load_config(str(tiny_config_file)))
    torch.save({"model": model.state_dict()}, tmp_path / "random.pth")
    return tmp_path / "random.pth"


def finish(process):
    assert process.wait(TIMEOUT) == 0, process.log.read_text()[-3000:]


def losses(directory):
    """Each record's iteration and loss, those that were not finished left out."""
    if not (directory / "metrics.json").exists():
        return []
    lines = [line for line in (directory / "metrics.json").read_text().splitlines() if line.endswith("}")]
    return [(r["iteration"], r["total_loss"]) for r in map(json.loads, lines) if "total_loss" in r]


def weights(directory):
    return torch.load(directory / "model_final.pth", weights_only=True)["model"]


def test_a_killed_run_resumes_to_the_same_loss_curve(start, tmp_path):
    overrides = ["SOLVER.MAX_ITER", 14, "SOLVER.CHECKPOINT_PERIOD", 5, "DATALOADER.NUM_WORKERS", 1]
    overrides += ["MODEL.ESCF.DROP_PATH", 0.2]  # so that the model draws random numbers too
    whole = start("whole", overrides=overrides)
    killed = start("killed", overrides=overrides)
    deadline = time.monotonic() + TIMEOUT
    while len(losses(tmp_path / "killed")) < 8:
        assert killed.poll() is None and time.monotonic() < deadline, killed.log.read_text()[-3000:]
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed/model_final.pth").exists()
    resumed = start("killed", "--resume", overrides=overrides)
    finish(whole)
    finish(resumed)
    assert "Starting training from iteration 0" not in resumed.log.read_text()
    assert [iteration for iteration, _ in losses(tmp_path / "whole")] == list(range(14))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def results(directory):
    return json.loads((directory / "evaluation.json").read_text())["results"]


def test_two_processes_do_what_one_does(start, tmp_path, tiny_datasets):
    annotations = tiny_datasets / "coco-stuff/annotations_detectron2/val2017"
    (annotations / "5.png").unlink()  # five images: uneven shares
    # SGD's steps are proportional to the gradients, so equal weights say that these were equal.
    overrides = ["SOLVER.MAX_ITER", 3, "SOLVER.OPTIMIZER", "SGD", "SOLVER.BASE_LR", 1.0]
    one = start("one", overrides=overrides)
    finish(one)
    two = start("two", "--num-gpus", 2, overrides=[*overrides, "SOLVER.ACCUMULATION_STEPS", 2])
    finish(two)
    expected, found = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert [i for i, _ in found] == [0, 1, 2]
    assert [x for _, x in found] == pytest.approx([x for _, x in expected], rel=1e-5)
    assert found[2][1] < found[0][1]
    of_one = weights(tmp_path / "one")
    for name, value in weights(tmp_path / "two").items():
        assert torch.allclose(value, of_one[name], rtol=1e-4, atol=1e-6), name
    score = [results(tmp_path / name)["coco_2017_test_stuff_all_sem_seg"]["pACC"] for name in ("one", "two")]
    assert score[1] == pytest.approx(score[0], abs=0.5)

    final = tmp_path / "one/model_final.pth"
    evaluation = start("evaluation", "--eval-only", "--num-gpus", 2, overrides=["MODEL.WEIGHTS", final])
    finish(evaluation)
    assert results(tmp_path / "evaluation") == results(tmp_path / "one")
    assert results(tmp_path / "one")["coco_2017_test_stuff_all_sem_seg"]["images"] == 5
    assert "mIoU" in evaluation.log.read_text()
    content = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert content["weights"]["file"] == str(final)
    assert content["weights"]["sha256"] == hashlib.sha256(final.read_bytes()).hexdigest()

    overrides = ["MODEL.WEIGHTS", final, "SOLVER.BASE_LR", 1e-12]  # so that no evaluation is better than the first
    overrides += ["SOLVER.MAX_ITER", 9, "SOLVER.PATIENCE", 1, "TEST.EVAL_PERIOD", 1]
    early = start("early", "--num-gpus", 2, overrides=overrides)
    finish(early)
    assert [i for i, _ in losses(tmp_path / "early")] == [0, 1]
    assert "The run ends at iteration 1: 1 evaluations without a better score of" in early.log.read_text()
    assert torch.load(tmp_path / "early/model_final.pth", weights_only=True)["iteration"] == 1
    assert (tmp_path / "early/model_best.safetensors").exists()


def test_a_killed_evaluation_goes_on_from_its_predictions(start, tmp_path, tiny_datasets, random_weights):
    for kind, extension in (("images/val2017", "jpg"), ("annotations_detectron2/val2017", "png")):
        folder = tiny_datasets / "coco-stuff" / kind
        for number in range(6, 60):
            shutil.copy(folder / f"{number % 6}.{extension}", folder / f"{number}.{extension}")
    saved, overrides = tmp_path / "saved", ["MODEL.WEIGHTS", random_weights]
    arguments = ["--eval-only", "--save-predictions", saved]
    finish(start("whole", "--eval-only", overrides=overrides))
    killed = start("killed", *arguments, overrides=overrides)
    deadline = time.monotonic() + TIMEOUT
    while len(list(saved.rglob("*.png"))) < 5:
        assert killed.poll() is None and time.monotonic() < deadline, killed.log.read_text()[-3000:]
        time.sleep(0.002)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed/evaluation.json").exists()
    before = {path.name: path.stat().st_mtime_ns for path in saved.rglob("*.png")}
    assert len(before) < 60
    finish(start("resumed", *arguments, "--num-gpus", 2, overrides=overrides))
    assert results(tmp_path / "resumed") == results(tmp_path / "whole")
    after = {path.name: path.stat().st_mtime_ns for path in saved.rglob("*.png")}
    assert len(after) == 60 and all(after[name] == time for name, time in before.items())


def test_somebody_elses_data_set_trains_and_evaluates_from_a_file_alone(start, tmp_path):
    file = write_dataset(tmp_path / "theirs")
    overrides = ["MODEL.CRM.NUM_CLASSES_TEST", 0]
    finish(start("trained", "--dataset", file, "--num-gpus", 2, overrides=overrides))
    result = results(tmp_path / "trained")[str(file)]
    assert (result["paper_name"], result["images"], result["classes"]) == ("towns", 6, THEIR_NAMES)
    assert 0 <= result["mIoU"] <= 100 and (tmp_path / "trained/evaluation/towns.csv").is_file()
    assert len(losses(tmp_path / "trained")) == 6

    saved = tmp_path / "saved"
    overrides += ["MODEL.WEIGHTS", tmp_path / "trained/model_final.pth"]
    finish(start("evaluated", "--dataset", file, "--eval-only", "--save-predictions", saved, overrides=overrides))
    assert results(tmp_path / "evaluated")[str(file)] == result
    pictures = sorted(saved.rglob("*.png"))
    assert [str(path.relative_to(saved)) for path in pictures[:2]] == ["towns/north/000.png", "towns/north/002.png"]
    ids = set().union(*(np.unique(Image.open(path)).tolist() for path in pictures))
    assert len(pictures) == 6 and ids <= {1, 2, 3}  # as in their own files

    Image.fromarray(np.full((48, 64), 9, np.uint8)).save(tmp_path / "theirs/masks/south/001.png")
    refused = start("refused", "--dataset", file)
    assert refused.wait(TIMEOUT) == 2
    assert "001.png holds the id 9" in refused.log.read_text() and not (tmp_path / "refused/metrics.json").exists()


@pytest.fixture(scope="module")
def tool():
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("train_net", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config-file", "none.yaml"], "none.yaml does not exist"),
        ([], "--config-file"),
        (["MODEL.CRM.NUM_CLASES_TRAIN", "8"], "MODEL.CRM.NUM_CLASES_TRAIN; did you mean MODEL.CRM.NUM_CLASSES_TRAIN?"),
        (["SOLVER.MAX_ITER", "many"], "SOLVER.MAX_ITER cannot be 'many'"),
        (["SOLVER.MAX_ITER"], "'SOLVER.MAX_ITER' has no value"),
        (["DATASETS.TEST", "('ade20k_150_test_sem_seg',)"], "ADEChallengeData2016/images/validation"),
        (["DATASETS.TRAIN", "('nothing',)"], "DATASETS.TRAIN names 'nothing'"),
        (["MODEL.WEIGHTS", "none.pth"], "MODEL.WEIGHTS none.pth does not exist"),
        (["SOLVER.ACCUMULATION_STEPS", "3"], "IMS_PER_BATCH 4 does not divide"),
        (["--num-gpus", "3"], "3 processes"),
        (["--num-gpus", "-1"], "--num-gpus is -1; give a number of processes"),
        (["TEST.FLIP", "True", "--eval-only"], "The option --eval-only comes after a KEY VALUE pair"),
        (["TEST.IMS_PER_BATCH", "0"], "TEST.IMS_PER_BATCH is 0; give a number of images"),
        (["--num-machines", "2"], "--dist-url tcp://"),
        (["--save-predictions", "x"], "add --eval-only"),
        (["--dataset", "x.yaml"], "x.yaml does not exist"),
        (["--eval-only", "DATASETS.TEST", "()"], "DATASETS.TEST is empty"),
        (["DATASETS.TEST", "('context_59_test_sem_seg', 'nothing')"], "context_59_test_sem_seg, nothing; prepare them"),
        (["--available", "DATASETS.TEST", "('context_59_test_sem_seg',)"], "VOCdevkit/VOC2010/JPEGImages"),
    ],
)
def test_a_mistake_is_one_sentence_and_status_2(tool, tiny_config_file, monkeypatch, capsys, arguments, message):
    given = [] if not arguments or arguments[0] == "--config-file" else ["--config-file", str(tiny_config_file)]
    monkeypatch.setattr(sys, "argv", ["train_net.py", *given, *arguments])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert tool.main() == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("train_net.py: ") and error.count("\n") == 1


def test_a_set_that_lacks_an_image_is_named_before_anything_starts(
    tool, tiny_config_file, tiny_datasets, monkeypatch, capsys
):
    monkeypatch.setattr(errseg.engine.launch, "launch", lambda *_, args: pytest.fail("it started"))
    (tiny_datasets / "coco-stuff/images/val2017/3.jpg").unlink()
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--config-file", str(tiny_config_file)])
    assert tool.main() == 2
    assert "coco_2017_test_stuff_all_sem_seg lacks the image" in capsys.readouterr().err


def test_available_sets_are_evaluated_and_the_others_named(tool, tiny_config_file, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(errseg.engine.launch, "launch", lambda *_, args: seen.append(args[0].DATASETS.TEST))
    there, missing = "coco_2017_test_stuff_all_sem_seg", "context_59_test_sem_seg"
    command = ["train_net.py", "--config-file", str(tiny_config_file), "--eval-only", "--available"]
    monkeypatch.setattr(sys, "argv", [*command, "DATASETS.TEST", f"('{missing}', '{there}')"])
    assert tool.main() == 0
    assert list(seen[0]) == [there]
    error = capsys.readouterr().err
    assert error.startswith(f"left out: {missing}. ") and "VOC2010" in error and error.count("\n") == 1


WORLD = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


def test_the_world_of_torchrun():
    assert torchrun_world({}) is None
    assert torchrun_world({"RANK": "0", "WORLD_SIZE": "2"}) is None  # another program's variables
    assert torchrun_world(WORLD) == (1, 4, 1, 2)
    with pytest.raises(UsageError, match="the same --nproc-per-node"):
        torchrun_world({**WORLD, "WORLD_SIZE": "5"})


@pytest.mark.parametrize("first", [True, False])
def test_under_torchrun_its_processes_count_and_one_of_each_machine_speaks(
    tool, tiny_config_file, monkeypatch, capsys, first
):
    for name, value in (WORLD | ({"RANK": "0", "LOCAL_RANK": "0"} if first else {})).items():
        monkeypatch.setenv(name, value)
    command = ["train_net.py", "--config-file", str(tiny_config_file)]
    for arguments, message in (
        (["--num-gpus", "2"], "torchrun has started 4 processes, so --num-gpus"),
        (["SOLVER.IMS_PER_BATCH", "6"], "SOLVER.IMS_PER_BATCH 6 does not divide into 4 processes"),
    ):
        monkeypatch.setattr(sys, "argv", [*command, *arguments])
        assert tool.main() == 2
        error = capsys.readouterr().err
        assert (message in error) if first else not error


def test_an_unknown_key_of_a_file_names_both(tool, tiny_config_file, monkeypatch, capsys):
    tiny_config_file.write_text(tiny_config_file.read_text().replace("MAX_ITER", "MAX_ITERATIONS"))
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--config-file", str(tiny_config_file)])
    assert tool.main() == 2
    error = capsys.readouterr().err
    assert "SOLVER.MAX_ITERATIONS" in error and str(tiny_config_file) in error and error.count("\n") == 1


@pytest.mark.parametrize(("gpus", "asked", "message"), [(0, 1, "add MODEL.DEVICE cpu"), (1, 2, "--num-gpus 2")])
def test_missing_gpus_are_said(tool, tiny_config_file, monkeypatch, capsys, gpus, asked, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    command = ["train_net.py", "--config-file", str(tiny_config_file), "--num-gpus", str(asked), "MODEL.DEVICE", "cuda"]
    monkeypatch.setattr(sys, "argv", command)
    assert tool.main() == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_num_gpus_asks_for_gpus_unless_the_device_is_given(tool, tiny_config_file, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    tiny_config_file.write_text(tiny_config_file.read_text().replace("  DEVICE: cpu\n", ""))
    command = ["train_net.py", "--config-file", str(tiny_config_file), "--num-gpus", "2"]
    monkeypatch.setattr(sys, "argv", command)
    assert tool.main() == 2
    assert "add MODEL.DEVICE cpu" in capsys.readouterr().err
    monkeypatch.setattr(errseg.engine.launch, "launch", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", [*command, "MODEL.DEVICE", "cpu"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert tool.main() == 0


def test_several_processes_on_the_cpu_see_no_gpu(tool, tiny_config_file, monkeypatch):
    seen = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    see = lambda *_, **__: seen.append(os.environ["CUDA_VISIBLE_DEVICES"])  # noqa: E731
    monkeypatch.setattr(errseg.engine.launch, "launch", see)
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--config-file", str(tiny_config_file), "--num-gpus", "2"])
    assert tool.main() == 0
    assert seen == [""]


def test_any_other_failure_keeps_its_traceback(tool, tiny_config_file, monkeypatch):
    def fail(*_, **__):
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(errseg.engine.launch, "launch", fail)
    monkeypatch.setattr(sys, "argv", ["train_net.py", "--config-file", str(tiny_config_file)])
    with pytest.raises(KeyError, match="a mistake of ours"):
        tool.main()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-machines", "2", "--machine-rank", "5", "--dist-url", "tcp://127.0.0.1:9"], "a number from 0 to 1"),
        (["--num-machines", "0"], "--num-machines is 0; give a number of machines"),
        (["--num-gpus", "2", "--dist-url", "nowhere"], "--dist-url nowhere is no address; give tcp://HOST:PORT"),
        (["--num-gpus", "2", "--dist-url", "tcp://127.0.0.1:99999"], "99999 is no address"),
    ],
)
def test_a_meeting_place_that_cannot_be_is_one_sentence(
    tool, tiny_config_file, monkeypatch, capsys, arguments, message
):
    test_a_mistake_is_one_sentence_and_status_2(tool, tiny_config_file, monkeypatch, capsys, arguments, message)


def test_a_taken_port_is_one_sentence_at_once(tool, tiny_config_file, monkeypatch, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        url = f"tcp://127.0.0.1:{other.getsockname()[1]}"
        arguments = ["--num-gpus", "2", "--dist-url", url]
        message = "is taken by another program; give a free one"
        test_a_mistake_is_one_sentence_and_status_2(tool, tiny_config_file, monkeypatch, capsys, arguments, message)


def die_by(number):
    if comm.get_rank() == 1:
        os.kill(os.getpid(), number)
    comm.synchronize()


def test_a_killed_rank_is_named_with_its_signal_and_the_remedy(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.multiprocessing, "start_processes", quickly)
    with pytest.raises(RankKilled, match="rank 1 was ended by SIGKILL.*memory.*--resume") as error:
        start_processes(die_by, 2, 1, 0, "auto", on_gpu=False, args=(signal.SIGKILL,))
    assert error.value.status == 137


def test_a_second_run_in_a_folder_is_refused(tool, tiny_config_file, tmp_path, monkeypatch, capsys):
    with holding(tmp_path / "output") as process:
        monkeypatch.setattr(sys, "argv", ["train_net.py", "--config-file", str(tiny_config_file)])
        with pytest.raises(SystemExit) as status:
            tool.main()
    error = capsys.readouterr().err
    assert status.value.code == 2 and f"is in use by process {process.pid} on " in error
    assert not (tmp_path / "output/config.yaml").exists()
