"""SED's configuration keys."""

from detectron2.config import CfgNode

__all__ = ["ARGUMENT_KEYS", "KEY_RANGES", "TRAINING_KEYS", "add_config"]

KEY_RANGES = {
    "MODEL.REJECTION.TOP_K": (1, 1_000_000),
    "MODEL.FUSION.DIM": (16, 4096),
    "MODEL.FUSION.KERNEL_SIZES": (1, 31),
    "MODEL.FUSION.POOLING": (1, 64),
    "MODEL.FUSION.POOLING_TEST": (1, 64),
}
ARGUMENT_KEYS = {  # the keys of the arguments of the model and its encoder
    "clip": "MODEL.CLIP.NAME",
    "finetune": "MODEL.CLIP.FINETUNE",
    "resolution_train": "INPUT.RESOLUTION_TRAIN",
    "precision": "MODEL.PRECISION",
}
TRAINING_KEYS = (
    "MODEL.CLIP.FINETUNE",
    "MODEL.REJECTION.HEADS_ONLY",
    "MODEL.FUSION.POOLING",
    "MODEL.FUSION.DETACH",
    "MODEL.FUSION.DECAY_NORMS",
)


def add_config(cfg: CfgNode) -> None:
    """Declare SED's keys in ``cfg``, in place."""
    model = cfg.MODEL
    model.CLIP.FINETUNE = "full"  # what is trained in the image tower: full, conv, mlp, full_res5 (stage 4) or none

    # Category early rejection, at test alone, and the training of its auxiliary heads
    model.REJECTION = CfgNode()
    model.REJECTION.ENABLED = False  # True: "SED-fast" of the paper
    model.REJECTION.HEADS_ONLY = False  # training moves the auxiliary heads alone: a second stage, on trained weights
    model.REJECTION.TOP_K = 8  # a location votes for this many names before each stage; names without a vote leave

    # The gradual fusion decoder
    model.FUSION = CfgNode()
    model.FUSION.DIM = 128  # width of the cost embedding; the stages' widths are fractions of it
    model.FUSION.SPATIAL = "convnext"  # a ConvNeXt block for each name; or none
    model.FUSION.KERNEL_SIZES = [9, 9, 9]  # of the ConvNeXt block of each stage
    model.FUSION.CLASS_ATTENTION = "linear"  # attention over names: linear, softmax or none
    model.FUSION.POOLING = 2  # average pooling before the attention over names, in training
    model.FUSION.POOLING_TEST = 1  # and at test; the published scores have 1
    model.FUSION.FEATURE_GUIDANCE = True  # the image's feature maps guide the upsampling
    model.FUSION.COST_GUIDANCE = True  # the cost map guides the upsampling
    model.FUSION.DETACH = True  # the guiding feature maps do not train the image tower
    model.FUSION.DECAY_NORMS = True  # weight decay for the LayerNorms of the ConvNeXt blocks, as in the release
