"""From a YAML file and KEY VALUE pairs to a configuration."""

import pytest

from errseg.config import get_cfg, load_config
from errseg.errors import UsageError


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("SOLVER: {MAX_ITER: 5}\n")
    return path


def test_overrides_come_last(config_file):
    cfg = load_config(str(config_file), ["SOLVER.MAX_ITER", "7", "MODEL.DEVICE", "cpu"])
    assert (cfg.SOLVER.MAX_ITER, cfg.MODEL.DEVICE) == (7, "cpu")
    assert get_cfg().SOLVER.MAX_ITER != 7


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SOLVER: {MAX_ITERS: 5}", "MAX_ITERS"),
        ("SOLVER: 5", "SOLVER"),
        ("SOLVER: {MAX_ITER: 2020-01-01}", "date"),
        ("SOLVER: {MAX_ITER: {A: 1}}", "MAX_ITER"),
        ("SOLVER: {MAX_ITER: '" + "-" * 3000 + "1'}", "MAX_ITER|nests too deeply"),
        ("SOLVER: {MAX_ITER: '" + "(" * 3000 + "'}", "MAX_ITER|nests too deeply"),
    ],
)
def test_a_file_that_does_not_fit(config_file, text, reason):
    config_file.write_text(text)
    with pytest.raises(UsageError, match=reason) as caught:
        load_config(str(config_file))
    assert str(config_file) in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["SOLVER.MAX_ITER"], "has no value"),
        (["SOLVER.MAX_ITERS", "5"], "did you mean SOLVER.MAX_ITER"),
        (["SOLVER.MAX_ITER", "x"], "SOLVER.MAX_ITER cannot be 'x'"),
        (["SOLVER.MAX_ITER", "+" * 9000 + "1"], "SOLVER.MAX_ITER cannot be"),
        (["SOLVER.MAX_ITER", "(" * 9000], "SOLVER.MAX_ITER cannot be"),
        (["SOLVER.MAX_ITER", "1" * 20000], "has 20000 characters"),
        (["SOLVER", "5"], "SOLVER cannot be '5'"),
        ([5, "5"], "no configuration key 5"),
        (["", "5"], "no configuration key"),
        (["_BASE_", "x.yaml"], "no configuration key _BASE_"),
        (["SEED", "1", "--num-gpus", "1"], "comes after a KEY VALUE pair"),
    ],
)
def test_overrides_that_do_not_fit(config_file, overrides, reason):
    with pytest.raises(UsageError, match=reason) as caught:
        load_config(str(config_file), overrides)
    assert len(str(caught.value)) < 600
