"""Detectron2's configuration keys that errseg does not read. A key that is set is refused, with a remedy."""

from detectron2.config import CfgNode, get_cfg

from errseg.config.settings import flatten
from errseg.errors import UsageError

__all__ = ["require_read_keys"]

OTHER_MODEL = "it belongs to another model of Detectron2; take it out"
VOCABULARY = "the names of the data set decide; take it out"
HEAD = "the head has no such option (MODEL.HSM, MODEL.ESCF and MODEL.GUD are its own); take it out"
OBJECTS = "it is for boxes, masks and keypoints of objects; take it out"
SAMPLER = "images are drawn in random order without repetition; take it out"

# The remedy, by key or by the beginning of several keys. Sub-keys of an option that is off have no effect.
NOT_READ = {
    "VIS_PERIOD": "no pictures are made in training; use errseg predict or errseg inspect on a checkpoint",
    "GLOBAL.HACK": "it has no effect; take it out",
    "SOLVER.REFERENCE_WORLD_SIZE": "set SOLVER.IMS_PER_BATCH, SOLVER.BASE_LR and SOLVER.MAX_ITER for the processes",
    "SOLVER.BIAS_LR_FACTOR": "biases have the learning rate of the other parameters; override Trainer.build_optimizer",
    "SOLVER.WEIGHT_DECAY_BIAS": "biases decay by SOLVER.WEIGHT_DECAY; override Trainer.build_optimizer",
    "TEST.PRECISE_BN.ENABLED": "the model's batch norms, if any, keep CLIP's statistics; take it out",
    "TEST.AUG.ENABLED": "use TEST.SCALES and TEST.FLIP",
    "TEST.DETECTIONS_PER_IMAGE": OBJECTS,
    "TEST.KEYPOINT_OKS_SIGMAS": OBJECTS,
    "DATALOADER.SAMPLER_TRAIN": SAMPLER,
    "DATASETS.PROPOSAL_FILES_TRAIN": OBJECTS,
    "DATASETS.PROPOSAL_FILES_TEST": OBJECTS,
    "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TRAIN": OBJECTS,
    "DATASETS.PRECOMPUTED_PROPOSAL_TOPK_TEST": OBJECTS,
    "INPUT.MASK_FORMAT": OBJECTS,
    "MODEL.LOAD_PROPOSALS": OBJECTS,
    "MODEL.MASK_ON": OBJECTS,
    "MODEL.KEYPOINT_ON": OBJECTS,
    "MODEL.BACKBONE.FREEZE_AT": "MODEL.CLIP.FINETUNE_IMAGE says what is trained",
    "MODEL.SEM_SEG_HEAD.IN_FEATURES": HEAD,
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES": VOCABULARY,
    "MODEL.SEM_SEG_HEAD.CONVS_DIM": HEAD,
    "MODEL.SEM_SEG_HEAD.COMMON_STRIDE": HEAD,
    "MODEL.SEM_SEG_HEAD.NORM": HEAD,
    "MODEL.SEM_SEG_HEAD.LOSS_WEIGHT": "there is one loss; scale SOLVER.BASE_LR instead",
    "MODEL.FPN.": OTHER_MODEL,
    "MODEL.PROPOSAL_GENERATOR.": OTHER_MODEL,
    "MODEL.ANCHOR_GENERATOR.": OTHER_MODEL,
    "MODEL.RPN.": OTHER_MODEL,
    "MODEL.ROI_": OTHER_MODEL,
    "MODEL.PANOPTIC_FPN.": OTHER_MODEL,
    "MODEL.RETINANET.": OTHER_MODEL,
    "MODEL.RESNETS.": OTHER_MODEL,
}
FLIPS = ("horizontal", "vertical", "none")


def require_read_keys(cfg: CfgNode) -> None:
    """Check that no key is set that would be ignored.

    Raises:
        UsageError: one of Detectron2's keys that errseg does not read differs from its default, or INPUT.RANDOM_FLIP
            has an unknown value.
    """
    defaults = flatten(get_cfg())
    for key, value in flatten(cfg).items():
        remedy = next((remedy for start, remedy in NOT_READ.items() if _is_of(key, start)), None)
        if remedy and key in defaults and value != defaults[key]:
            raise UsageError(f"{key} is {value!r}, but errseg does not read this key: {remedy}.")
    if cfg.INPUT.RANDOM_FLIP not in FLIPS:
        raise UsageError(f"INPUT.RANDOM_FLIP is {cfg.INPUT.RANDOM_FLIP!r}; choose horizontal, vertical or none.")


def _is_of(key: str, start: str) -> bool:
    return key.startswith(start) if start.endswith((".", "_")) else key == start
