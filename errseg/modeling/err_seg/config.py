"""ERR-Seg's configuration keys, and the K that its paper chooses.

The comment of a key names the table or figure of the paper that varies it.
"""

from detectron2.config import CfgNode

from ..num_kept import AUTO, NumKept
from .kept import number_or_auto

__all__ = [
    "ARGUMENT_KEYS",
    "KEY_RANGES",
    "KEY_WORDS",
    "TRAINING_KEYS",
    "add_config",
    "num_kept",
    "num_kept_train",
    "paper_num_kept",
]

KEY_RANGES = {
    "MODEL.CRM.NUM_CLASSES_TRAIN": (1, 1_000_000),
    "MODEL.CRM.NUM_CLASSES_TEST": (0, 1_000_000),
    "MODEL.CRM.AUTO_THRESHOLD": (0, 2),
    "MODEL.CRM.AUTO_MIN": (1, 1_000_000),
    "MODEL.CRM.AUTO_MAX": (1, 1_000_000),
    "MODEL.CRM.SCORE_COEFFICIENT": (0, 1),
    "MODEL.ESCF.SSR_RATIO": (1, 64),
    "MODEL.ESCF.CSR_RATIO": (1, 1024),
    "MODEL.ESCF.NUM_LAYERS": (1, 64),
    "MODEL.ESCF.DIM": (8, 4096),
    "MODEL.ESCF.NUM_HEADS": (1, 256),
    "MODEL.ESCF.DROP_PATH": (0, 1),
    "MODEL.GUD.KERNEL_SIZE": (1, 31),
}
KEY_WORDS = {"MODEL.CRM.NUM_CLASSES_TRAIN": (AUTO,), "MODEL.CRM.NUM_CLASSES_TEST": (AUTO,)}
ARGUMENT_KEYS = {  # the keys of the arguments of the model and its encoders
    "clip": "MODEL.CLIP.NAME",
    "hierarchical": "MODEL.HSM.ENABLED",
    "stage4_gradient": "MODEL.HSM.STAGE4_GRADIENT",
    "resolution_train": "INPUT.RESOLUTION_TRAIN",
    "num_kept_train": "MODEL.CRM.NUM_CLASSES_TRAIN",
    "precision": "MODEL.PRECISION",
}
TRAINING_KEYS = (
    "MODEL.HSM.STAGE4_GRADIENT",
    "MODEL.CRM.NUM_CLASSES_TRAIN",
    "MODEL.ESCF.DROP_PATH",
    "MODEL.GUD.STOP_GRADIENT",
)
NUM_KEPT = {20: 16, 59: 24, 150: 32}  # number of names: K up to this number (IV-C, Table XIII): PAS-20, PC-59, A-150
NUM_KEPT_OF_MORE = 48  # K for more names: PC-459, A-847


def paper_num_kept(count: int) -> int:
    """K at test for a vocabulary of ``count`` names, as the paper chooses it (IV-C, Table XIII)."""
    return min(next((k for length, k in NUM_KEPT.items() if count <= length), NUM_KEPT_OF_MORE), count)


def num_kept(cfg: CfgNode, count: int, recommended: int | None = None) -> NumKept:
    """K at test: ``MODEL.CRM.NUM_CLASSES_TEST``, or else the data set's K, or else the paper's K for ``count`` names.

    Without CRM, every name is kept, and the result is 0.

    Args:
        cfg: the configuration.
        count: T.
        recommended: the data set's K, 0 for all; None: the data set has no K.
    """
    if not cfg.MODEL.CRM.ENABLED:
        return 0
    asked = number_or_auto(cfg, "NUM_CLASSES_TEST")
    return asked or (paper_num_kept(count) if recommended is None else recommended)


def num_kept_train(cfg: CfgNode) -> NumKept:
    """K in training; 0 for all."""
    return number_or_auto(cfg, "NUM_CLASSES_TRAIN") if cfg.MODEL.CRM.ENABLED else 0


def add_config(cfg: CfgNode) -> None:
    """Declare ERR-Seg's keys in ``cfg``, in place."""
    model = cfg.MODEL
    model.BACKBONE.NAME = "ConvNeXtCLIP"  # or ViTCLIP (Table XII)
    model.SEM_SEG_HEAD.NAME = "ERRSegHead"

    # Hierarchical Semantic Module (III-B)
    model.HSM = CfgNode()
    model.HSM.ENABLED = True  # False: only the cost map of stage 4 (Table V)
    model.HSM.STAGE4_GRADIENT = "both"  # the dense embedding that trains stage 4: both, E16 or E32 (Table VI)

    # Channel Reduction Module (III-C)
    model.CRM = CfgNode()
    model.CRM.ENABLED = True  # False: every class is kept (Table V)
    model.CRM.NUM_CLASSES_TRAIN = 32  # K in training (Fig. 7), or "auto"
    model.CRM.NUM_CLASSES_TEST = 0  # K at test (Table XIII); 0: the data set's K; "auto": K that fits each image
    model.CRM.AUTO_THRESHOLD = 0.005  # "auto" keeps the classes with as many points per location (errseg tune-k)
    model.CRM.AUTO_MIN = 1  # the smallest K of "auto"
    model.CRM.AUTO_MAX = 64  # the largest
    model.CRM.TOP_CATEGORIES = 3  # classes that score at each location (Table VII)
    model.CRM.SCORE_COEFFICIENT = 0.1  # the r-th best class of a location scores coefficient ** r (Fig. 6)

    # Efficient Semantic Context Fusion (III-D)
    model.ESCF = CfgNode()
    model.ESCF.ENABLED = True  # Table V
    model.ESCF.SFM = True  # Spatial-level Fusion Module (Table VIII)
    model.ESCF.CFM = True  # Class-level Fusion Module (Table VIII)
    model.ESCF.SSR_RATIO = 2  # Spatial-level Sequence Reduction of keys and values; 1: none (Table X)
    model.ESCF.CSR_RATIO = 2  # Class-level Sequence Reduction by average pooling; 1: none (Table X)
    model.ESCF.STAR = True  # True: MLPs with the star operation; False: plain MLPs (Table IX)
    model.ESCF.NUM_LAYERS = 4
    model.ESCF.DIM = 128  # width of the cost embedding; HSM's and GUD's widths are fractions and multiples of it
    model.ESCF.NUM_HEADS = 4
    model.ESCF.DROP_PATH = 0.025  # rate of layer 1; layer i has i times this rate, layer 0 has none

    # Gradual Upsampling Decoder (III-E)
    model.GUD = CfgNode()
    model.GUD.ENABLED = True  # Table V
    model.GUD.GUIDANCE_OS16 = True  # guide the first stage with the stride-16 features (Table XI, top)
    model.GUD.STOP_GRADIENT = True  # the guidance does not train the image encoder (Table XI, middle)
    model.GUD.KERNEL_SIZE = 3  # kernel size of the refining convolutions (Table XI, bottom)
