"""The default configuration: Detectron2's keys and values that a semantic segmentation training reads."""

from .config import VERSION
from .config import CfgNode as CN
from .other_models import OTHER_MODELS

_MODEL = {
    **OTHER_MODELS,
    **{"META_ARCHITECTURE": "GeneralizedRCNN", "DEVICE": "cuda", "WEIGHTS": ""},
    **{"PIXEL_MEAN": [103.53, 116.28, 123.675], "PIXEL_STD": [1.0, 1.0, 1.0]},
    **{"LOAD_PROPOSALS": False, "MASK_ON": False, "KEYPOINT_ON": False},
    "BACKBONE": {"NAME": "build_resnet_backbone", "FREEZE_AT": 2},
    "SEM_SEG_HEAD": {
        **{"NAME": "SemSegFPNHead", "IN_FEATURES": ["p2", "p3", "p4", "p5"], "IGNORE_VALUE": 255, "NUM_CLASSES": 54},
        **{"CONVS_DIM": 128, "COMMON_STRIDE": 4, "NORM": "GN", "LOSS_WEIGHT": 1.0},
    },
}

_INPUT = {
    **{"MIN_SIZE_TRAIN": (800,), "MAX_SIZE_TRAIN": 1333},  # of the shorter and of the longer side, in pixels
    "MIN_SIZE_TRAIN_SAMPLING": "choice",  # one of the sizes, or "range": between two
    **{"MIN_SIZE_TEST": 800, "MAX_SIZE_TEST": 1333},  # MIN_SIZE_TEST 0: images keep their size
    "RANDOM_FLIP": "horizontal",  # horizontal, vertical, none
    "CROP": {"ENABLED": False, "TYPE": "relative_range", "SIZE": [0.9, 0.9]},
    **{"FORMAT": "BGR", "MASK_FORMAT": "polygon"},
}

_DATASETS = {
    **{"TRAIN": (), "PROPOSAL_FILES_TRAIN": (), "PRECOMPUTED_PROPOSAL_TOPK_TRAIN": 2000},
    **{"TEST": (), "PROPOSAL_FILES_TEST": (), "PRECOMPUTED_PROPOSAL_TOPK_TEST": 1000},
}

_DATALOADER = {
    "NUM_WORKERS": 4,  # of each process
    "ASPECT_RATIO_GROUPING": True,  # batches of portraits or of landscapes
    "FILTER_EMPTY_ANNOTATIONS": True,
    **{"SAMPLER_TRAIN": "TrainingSampler", "REPEAT_THRESHOLD": 0.0, "REPEAT_SQRT": True},
}

_SOLVER = {
    **{"MAX_ITER": 40000, "IMS_PER_BATCH": 16, "REFERENCE_WORLD_SIZE": 0},  # IMS_PER_BATCH: over all processes
    **{"BASE_LR": 0.001, "BIAS_LR_FACTOR": 1.0, "MOMENTUM": 0.9, "NESTEROV": False},
    **{"WEIGHT_DECAY": 0.0001, "WEIGHT_DECAY_NORM": 0.0, "WEIGHT_DECAY_BIAS": None},  # None: WEIGHT_DECAY
    "LR_SCHEDULER_NAME": "WarmupMultiStepLR",  # or WarmupCosineLR
    **{"GAMMA": 0.1, "STEPS": (30000,), "NUM_DECAYS": 3, "BASE_LR_END": 0.0},  # BASE_LR_END: the cosine's
    **{"WARMUP_FACTOR": 0.001, "WARMUP_ITERS": 1000, "WARMUP_METHOD": "linear"},
    "RESCALE_INTERVAL": False,  # the schedule starts after the warm-up rather than under it
    "CHECKPOINT_PERIOD": 5000,
    "CLIP_GRADIENTS": {"ENABLED": False, "CLIP_TYPE": "value", "CLIP_VALUE": 1.0, "NORM_TYPE": 2.0},
    "AMP": {"ENABLED": False},
}

_AUG_SIZES = (400, 500, 600, 700, 800, 900, 1000, 1100, 1200)
_TEST = {
    "EXPECTED_RESULTS": [],  # [[task, metric, value, tolerance], ...], checked when training ends
    "EVAL_PERIOD": 0,  # 0: at the end alone
    **{"DETECTIONS_PER_IMAGE": 100, "KEYPOINT_OKS_SIGMAS": []},
    "AUG": {"ENABLED": False, "MIN_SIZES": _AUG_SIZES, "MAX_SIZE": 4000, "FLIP": True},
    "PRECISE_BN": {"ENABLED": False, "NUM_ITER": 200},
}

_C = CN(
    {
        **{"VERSION": VERSION, "OUTPUT_DIR": "./output", "SEED": -1, "VIS_PERIOD": 0, "GLOBAL": {"HACK": 1.0}},
        **{"CUDNN_BENCHMARK": False, "FLOAT32_PRECISION": ""},  # of torch's matrix products; "": torch's own default
        **{"MODEL": _MODEL, "INPUT": _INPUT, "DATASETS": _DATASETS, "DATALOADER": _DATALOADER},
        **{"SOLVER": _SOLVER, "TEST": _TEST},
    }
)
