"""errseg train: its options as keys, and its messages; tests/repository/test_train_net.py trains."""

import pytest

import errseg.engine.launch


@pytest.fixture
def started(monkeypatch):
    """The configurations and options of the runs that would have been started."""
    runs = []
    monkeypatch.setattr(errseg.engine.launch, "launch", lambda *_, args: runs.append(args))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return runs


def test_options_are_keys_and_keys_come_last(command, started, tiny_config_file, tmp_path):
    (tmp_path / "w.pth").touch()
    options = ["--config", tiny_config_file, "--weights", tmp_path / "w.pth", "--device", "cpu", "--out", "a"]
    keys = ["TEST.EVAL_PERIOD", "3", "SEED", "5", "OUTPUT_DIR", "b"]
    assert command("train", *options, "--resume", "--gpus", "1", "--best", *keys)[0] == 0
    [(cfg, args)] = started
    assert (cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE) == (str(tmp_path / "w.pth"), "cpu")
    assert (cfg.SEED, cfg.OUTPUT_DIR, cfg.SOLVER.BEST) == (5, "b", "first")
    assert args.resume and not args.eval_only and args.num_gpus == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpus", "-1"], "errseg train: --gpus is -1; give a number of processes"),
        (["--gpus", "3"], "3 processes"),
        (["--dataset", "x.yaml"], "x.yaml does not exist"),
        (["DATASETS.TRAIN", "()"], "DATASETS.TRAIN is empty; name a registered data set, or use errseg evaluate."),
        (["--best", "ade"], "SOLVER.BEST = 'ade' needs evaluations during training, but TEST.EVAL_PERIOD is 0"),
        (["WRITERS", "('comet',)"], "WRITERS has 'comet'; choose some of wandb, mlflow."),
        (["--weights", "none.pth"], "MODEL.WEIGHTS none.pth does not exist"),
        (["MODEL.CRM.NUM_CLASES_TRAIN", "8"], "did you mean MODEL.CRM.NUM_CLASSES_TRAIN?"),
    ],
)
def test_a_mistake_is_one_sentence_in_the_words_of_the_command(command, started, tiny_config_file, words, message):
    status, _, err = command("train", "--config", tiny_config_file, *words)
    assert status == 2 and message in err and err.count("\n") == 1 and not started
