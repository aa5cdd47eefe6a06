"""Configurations: declared keys, inheritance between files, and constructors that read them."""

from pathlib import Path

import pytest
import yaml
from detectron2.config import CfgNode, configurable, get_cfg

from errseg.config import get_cfg as get_errseg_cfg

DATA = Path(__file__).parent / "data"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def leaves(node, prefix=""):
    for key, value in node.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


OTHER_MODELS = (
    *("FPN", "PROPOSAL_GENERATOR", "ANCHOR_GENERATOR", "RPN", "ROI_HEADS", "ROI_BOX_HEAD", "ROI_BOX_CASCADE_HEAD"),
    *("ROI_MASK_HEAD", "ROI_KEYPOINT_HEAD", "PANOPTIC_FPN", "RETINANET", "RESNETS"),
)


def test_defaults_are_detectron2s():
    """But for other models', which the stand-in leaves open, the keys and values of the real one's dump are there."""

    def comparable(tree):
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in leaves(tree)}
        return {key: value for key, value in values.items() if key.split(".")[1:2] not in [[m] for m in OTHER_MODELS]}

    assert comparable(get_cfg()) == comparable(yaml.unsafe_load((DATA / "config_real.yaml").read_text()))
    assert get_cfg().INPUT.MIN_SIZE_TRAIN == (800,) and get_cfg().INPUT.CROP.SIZE == [0.9, 0.9]


def test_get_cfg_is_a_fresh_copy():
    first = get_cfg()
    first.SOLVER.BASE_LR = 7.0
    first.INPUT.CROP.SIZE.append(1)
    assert get_cfg().SOLVER.BASE_LR == 0.001
    assert get_cfg().INPUT.CROP.SIZE == [0.9, 0.9]


def test_base_files_are_relative_and_nested(tmp_path):
    write(tmp_path / "bases/root.yaml", "SOLVER: {BASE_LR: 0.1, MAX_ITER: 5, GAMMA: 0.5}\nVERSION: 2\n")
    write(tmp_path / "bases/middle.yaml", "_BASE_: root.yaml\nSOLVER: {MAX_ITER: 6}\n")
    leaf = write(tmp_path / "leaf.yaml", "_BASE_: bases/middle.yaml\nSOLVER:\n  GAMMA: 0.25\n  STEPS: (1, 2)\n")
    cfg = get_cfg()
    cfg.merge_from_file(leaf)
    assert (cfg.SOLVER.BASE_LR, cfg.SOLVER.MAX_ITER, cfg.SOLVER.GAMMA, cfg.SOLVER.STEPS) == (0.1, 6, 0.25, (1, 2))
    assert "_BASE_" not in cfg


def test_several_bases_in_order(tmp_path):
    write(tmp_path / "a.yaml", "SOLVER: {MAX_ITER: 1, BASE_LR: 0.5}\n")
    write(tmp_path / "b.yaml", "SOLVER: {MAX_ITER: 2}\n")
    cfg = get_cfg()
    cfg.merge_from_file(write(tmp_path / "leaf.yaml", "_BASE_: [a.yaml, b.yaml]\nVERSION: 2\n"))
    assert (cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR) == (2, 0.5)


def test_unknown_keys_are_named(tmp_path):
    with pytest.raises(KeyError, match="SOLVER.BASE_LRR"):
        get_cfg().merge_from_file(write(tmp_path / "c.yaml", "VERSION: 2\nSOLVER: {BASE_LRR: 1.0}\n"))
    with pytest.raises(AssertionError, match="SOLVER.NOTHING"):
        get_cfg().merge_from_list(["SOLVER.NOTHING", "1"])


def test_values_of_another_type_are_refused():
    with pytest.raises(ValueError, match="SOLVER.BASE_LR"):
        get_cfg().merge_from_list(["SOLVER.BASE_LR", "fast"])


def test_merge_from_list_reads_literals():
    cfg = get_cfg()
    cfg.merge_from_list(["SOLVER.STEPS", "(1, 2)", "MODEL.WEIGHTS", "a/b.pth", "INPUT.CROP.ENABLED", "True"])
    assert (cfg.SOLVER.STEPS, cfg.MODEL.WEIGHTS, cfg.INPUT.CROP.ENABLED) == ((1, 2), "a/b.pth", True)


def test_freeze():
    cfg = get_cfg()
    cfg.freeze()
    with pytest.raises(AttributeError):
        cfg.SOLVER.BASE_LR = 1.0
    copy = cfg.clone()
    copy.defrost()
    copy.SOLVER.BASE_LR = 1.0
    assert cfg.is_frozen() and cfg.SOLVER.BASE_LR == 0.001


def test_dump_and_reload(tmp_path):
    cfg = get_errseg_cfg()
    cfg.merge_from_list(["SOLVER.BASE_LR", "0.25", "MODEL.HSM.ENABLED", "False", "DATASETS.TEST", "('x',)"])
    again = get_errseg_cfg()
    again.merge_from_file(write(tmp_path / "dumped.yaml", cfg.dump()))
    assert again.SOLVER == cfg.SOLVER and again.SOLVER.BASE_LR == 0.25
    assert again.MODEL.HSM == cfg.MODEL.HSM and again.DATASETS == cfg.DATASETS and again.INPUT == cfg.INPUT


@pytest.mark.parametrize("which", ["real", "compat"])
def test_a_config_dumped_under_either_loads(which):
    cfg = get_cfg()
    cfg.merge_from_file(str(DATA / f"config_{which}.yaml"))
    assert cfg.SOLVER == get_cfg().SOLVER
    if which == "real":
        assert cfg.MODEL.RPN.NMS_THRESH == 0.7


class Part:
    @configurable
    def __init__(self, width, *, depth=2, name="part"):
        self.values = (width, depth, name)

    @classmethod
    def from_config(cls, cfg, depth=3):
        return {"width": cfg.SOLVER.MAX_ITER, "depth": depth * 10}


class Derived(Part):
    @classmethod
    def from_config(cls, cfg):
        return {**super().from_config(cfg), "name": "derived"}


def test_configurable_constructor():
    cfg = get_cfg()
    assert Part(1).values == (1, 2, "part")
    assert Part(cfg).values == (40000, 30, "part")
    assert Part(cfg, depth=4).values == (40000, 40, "part")  # from_config takes it
    assert Part(cfg=cfg, name="given", width=5).values == (5, 30, "given")  # and does not take these
    assert Derived(cfg).values == (40000, 30, "derived")
    assert Part.__init__.__wrapped__.__name__ == "__init__"


def test_configurable_errors():
    class Without:
        @configurable
        def __init__(self, a):
            pass

    class Wrong:
        @configurable
        def __init__(self, a):
            pass

        @classmethod
        def from_config(cls, configuration):
            return {"a": 1}

    with pytest.raises(AttributeError, match="from_config"):
        Without(get_cfg())
    with pytest.raises(TypeError, match="cfg"):
        Wrong(get_cfg())


def test_subtrees_can_be_added():
    cfg = get_cfg()
    cfg.MODEL.MINE = CfgNode({"A": 1})
    cfg.MODEL.MINE.B = [1, 2]
    cfg.merge_from_list(["MODEL.MINE.A", "2"])
    assert cfg.clone().MODEL.MINE == {"A": 2, "B": [1, 2]}
