"""errseg evaluate: which weights, which configuration, which data sets.

tests/repository/test_scripts_evaluate.py evaluates.
"""

import pytest

from tests.cli.test_train import started  # noqa: F401

FIVE = (
    "ade20k_full_sem_seg_freq_val_all, context_459_test_sem_seg, ade20k_150_test_sem_seg, context_59_test_sem_seg, "
    "voc_2012_test_sem_seg"
)
THERE = "coco_2017_test_stuff_all_sem_seg"


@pytest.fixture
def run_folder(tiny_config_file, tmp_path):
    """The folder of a run: a configuration, and a checkpoint that nothing reads."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(tiny_config_file.read_text())
    (folder / "model_final.pth").touch()
    return folder


def test_the_sets_of_the_paper_by_default(command, started, run_folder):  # noqa: F811
    status, _, err = command("evaluate", "--weights", run_folder)
    assert status == 2 and f"5 of the 5 data sets of DATASETS.TEST are missing: {FIVE}; prepare them" in err
    _, _, err = command("evaluate", "--weights", run_folder, "--background")
    assert f"6 of the 6 data sets of DATASETS.TEST are missing: {FIVE}, voc_2012_test_background_sem_seg;" in err
    assert "or add --available" in err and err.startswith("errseg evaluate: ") and not started


def test_a_run_brings_its_weights_and_its_configuration(command, started, run_folder, tmp_path):  # noqa: F811
    options = ["--dataset", THERE, "--save-predictions", tmp_path / "saved", "--precision", "bfloat16"]
    status, _, err = command("evaluate", "--weights", run_folder, *options, "TEST.FLIP", "True")
    assert status == 0, err
    [(cfg, args)] = started
    assert cfg.MODEL.WEIGHTS == str(run_folder / "model_final.pth") and args.eval_only
    assert cfg.DATASETS.TEST == (THERE,) and cfg.TEST.FLIP and cfg.MODEL.PRECISION == "bfloat16"
    assert args.config_file == str(run_folder / "config.yaml") and args.save_predictions == str(tmp_path / "saved")


def test_keys_come_last_and_available_sets_are_kept(command, started, run_folder, tiny_config_file):  # noqa: F811
    weights = run_folder / "model_final.pth"
    keys = ["MODEL.WEIGHTS", weights, "DATASETS.TEST", f"('{THERE}', 'voc_2012_test_sem_seg')"]
    status, _, err = command("evaluate", "--config", tiny_config_file, "--available", *keys)
    assert status == 0 and err.startswith("left out: voc_2012_test_sem_seg. ")
    assert started[0][0].DATASETS.TEST == (THERE,) and started[0][0].MODEL.WEIGHTS == str(weights)


def test_a_folder_without_weights_and_weights_without_a_configuration(command, run_folder):
    (run_folder / "config.yaml").unlink()
    status, _, err = command("evaluate", "--weights", run_folder / "model_final.pth")
    assert status == 2 and "add --config CONFIG" in err
    (run_folder / "model_final.pth").unlink()
    status, _, err = command("evaluate", "--weights", run_folder)
    assert status == 2 and "has no checkpoint yet" in err


def test_a_shard_has_a_folder_of_its_own(command, started, run_folder, tmp_path):  # noqa: F811
    options = ["--weights", run_folder, "--dataset", THERE, "--out", tmp_path / "e"]
    status, _, err = command("evaluate", *options, "--shard", "2/3")
    assert status == 0, err
    [(cfg, args)] = started
    assert cfg.OUTPUT_DIR == str(tmp_path / "e/shard_2_of_3") and args.shard == (2, 3)
    for more, words in (
        (["--shard", "3/2"], "--shard is 3/2; give I/N with I from 1 to N"),
        (["--merge", tmp_path], "leave out --weights"),
    ):
        status, _, err = command("evaluate", *options, *more)
        assert status == 2 and words in err and err.count("\n") == 1
    for more, words in (([], "add --out DIR"), (["--out", tmp_path / "m"], "shard.json does not exist")):
        status, _, err = command("evaluate", "--merge", tmp_path / "none", *more)
        assert status == 2 and words in err and err.count("\n") == 1
