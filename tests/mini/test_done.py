"""A run of the ablations that is done counts for its own configuration alone."""

import json

import pytest

from errseg.config import as_data, get_cfg
from errseg.errors import UsageError
from errseg.mini.done import check_done, is_done


def test_another_configuration_is_refused(tmp_path):
    cfg, path = get_cfg(), tmp_path / "evaluation.json"
    path.write_text(json.dumps({"results": {}, "config": as_data(cfg)}))
    cfg.merge_from_list(["OUTPUT_DIR", "elsewhere", "MODEL.DEVICE", "cuda", "MODEL.CLIP.PRETRAINED", "moved/clip.pt"])
    check_done(path, cfg)
    cfg.SOLVER.MAX_ITER = 7
    with pytest.raises(UsageError, match=r"another configuration \(SOLVER.MAX_ITER \d+, now 7\); remove .*, or give"):
        check_done(path, cfg)
    path.write_text(json.dumps({"results": {}}))
    with pytest.raises(UsageError, match="an unknown one"):
        check_done(path, cfg)


def test_a_run_is_done_when_it_has_evaluated_every_data_set(tmp_path):
    path = tmp_path / "evaluation.json"
    assert not is_done(path, ["a"])
    result = {"paper_name": "a", "mIoU": 1, "fwIoU": 1, "mACC": 1, "pACC": 1, "classes": ["x"], "iou": [1]}
    path.write_text(json.dumps({"results": {"a": result}}))
    assert is_done(path, ["a"]) and not is_done(path, ["a", "b"])
