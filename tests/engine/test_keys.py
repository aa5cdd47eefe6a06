"""Detectron2's keys that errseg does not read are refused by name."""

import pytest
from detectron2.config import get_cfg as get_detectron2_cfg

from errseg.config import get_cfg
from errseg.config.settings import flatten
from errseg.engine.keys import NOT_READ, _is_of, require_read_keys
from errseg.errors import UsageError

READ = """
VERSION OUTPUT_DIR SEED CUDNN_BENCHMARK FLOAT32_PRECISION MODEL.META_ARCHITECTURE MODEL.DEVICE MODEL.WEIGHTS
MODEL.PIXEL_MEAN MODEL.PIXEL_STD MODEL.BACKBONE.NAME MODEL.SEM_SEG_HEAD.NAME MODEL.SEM_SEG_HEAD.IGNORE_VALUE
INPUT.MIN_SIZE_TRAIN INPUT.MIN_SIZE_TRAIN_SAMPLING INPUT.MAX_SIZE_TRAIN INPUT.MIN_SIZE_TEST INPUT.MAX_SIZE_TEST
INPUT.RANDOM_FLIP INPUT.CROP.ENABLED INPUT.CROP.TYPE INPUT.CROP.SIZE INPUT.FORMAT DATASETS.TRAIN DATASETS.TEST
DATALOADER.NUM_WORKERS SOLVER.LR_SCHEDULER_NAME SOLVER.MAX_ITER SOLVER.BASE_LR SOLVER.BASE_LR_END SOLVER.MOMENTUM
SOLVER.NESTEROV SOLVER.WEIGHT_DECAY SOLVER.WEIGHT_DECAY_NORM SOLVER.GAMMA SOLVER.STEPS SOLVER.NUM_DECAYS
SOLVER.WARMUP_FACTOR SOLVER.WARMUP_ITERS SOLVER.WARMUP_METHOD SOLVER.RESCALE_INTERVAL SOLVER.CHECKPOINT_PERIOD
SOLVER.IMS_PER_BATCH SOLVER.CLIP_GRADIENTS.ENABLED SOLVER.CLIP_GRADIENTS.CLIP_TYPE SOLVER.CLIP_GRADIENTS.CLIP_VALUE
SOLVER.CLIP_GRADIENTS.NORM_TYPE SOLVER.AMP.ENABLED TEST.EXPECTED_RESULTS TEST.EVAL_PERIOD
""".split()
# Without effect on label maps, or sub-keys of an option that is refused when it is on.
HARMLESS = """
DATALOADER.ASPECT_RATIO_GROUPING DATALOADER.FILTER_EMPTY_ANNOTATIONS DATALOADER.REPEAT_THRESHOLD
DATALOADER.REPEAT_SQRT TEST.AUG.MIN_SIZES TEST.AUG.MAX_SIZE TEST.AUG.FLIP TEST.PRECISE_BN.NUM_ITER
""".split()


def test_every_key_of_detectron2_is_read_or_refused():
    keys = list(flatten(get_detectron2_cfg()))
    unknown = [k for k in keys if k not in (*READ, *HARMLESS) and not any(_is_of(k, start) for start in NOT_READ)]
    assert not unknown
    assert all(any(_is_of(key, start) for key in keys) for start in NOT_READ)


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("SOLVER.REFERENCE_WORLD_SIZE", 8, "SOLVER.IMS_PER_BATCH"),
        ("SOLVER.BIAS_LR_FACTOR", 2.0, "build_optimizer"),
        ("SOLVER.WEIGHT_DECAY_BIAS", 0.0, "build_optimizer"),
        ("TEST.PRECISE_BN.ENABLED", True, "batch norms"),
        ("TEST.AUG.ENABLED", True, "TEST.SCALES and TEST.FLIP"),
        ("DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler", "random order"),
        ("VIS_PERIOD", 100, "errseg inspect"),
        ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 171, "names of the data set"),
        ("MODEL.ROI_HEADS.NUM_CLASSES", 3, "another model"),
        ("INPUT.RANDOM_FLIP", "diagonal", "horizontal, vertical or none"),
    ],
)
def test_a_key_that_would_be_ignored_is_refused(key, value, remedy):
    cfg = get_cfg()
    require_read_keys(cfg)
    cfg.merge_from_list([key, value])
    with pytest.raises(UsageError, match=f"{key} is {value!r}.*{remedy}"):
        require_read_keys(cfg)


def test_a_misspelt_key_of_another_model_is_an_error():
    with pytest.raises((KeyError, AssertionError)):
        get_cfg().merge_from_list(["MODEL.ROI_HEADS.NUM_CLASES", 3])
