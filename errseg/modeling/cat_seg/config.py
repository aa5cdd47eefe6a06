"""CAT-Seg's configuration keys. The comments name what its release can ablate (section 11)."""

from detectron2.config import CfgNode

__all__ = ["ARGUMENT_KEYS", "KEY_RANGES", "TRAINING_KEYS", "add_config"]

KEY_RANGES = {
    "MODEL.TOWER.RESOLUTION": (64, 8192),
    "MODEL.COST.MAX_CLASSES": (0, 1_000_000),
    "MODEL.AGGREGATION.NUM_LAYERS": (1, 64),
    "MODEL.AGGREGATION.DIM": (8, 4096),
    "MODEL.AGGREGATION.NUM_HEADS": (1, 256),
    "MODEL.AGGREGATION.GUIDANCE_DIM": (8, 4096),
    "MODEL.AGGREGATION.WINDOW": (1, 1024),
    "MODEL.AGGREGATION.POOLING": (1, 64),
    "MODEL.AGGREGATION.POOLING_TEST": (1, 64),
    "MODEL.UPSAMPLING.DIMS": (8, 4096),
}
ARGUMENT_KEYS = {  # the keys of the arguments of the model and its encoder
    "clip": "MODEL.CLIP.NAME",
    "resolution": "MODEL.TOWER.RESOLUTION",
    "trained_image": "MODEL.TOWER.TRAINED_IMAGE",
    "trained_text": "MODEL.TOWER.TRAINED_TEXT",
    "precision": "MODEL.PRECISION",
}
TRAINING_KEYS = ("MODEL.TOWER.TRAINED_IMAGE", "MODEL.TOWER.TRAINED_TEXT", "MODEL.AGGREGATION.POOLING")


def add_config(cfg: CfgNode) -> None:
    """Declare CAT-Seg's keys in ``cfg``, in place."""
    model = cfg.MODEL

    # CLIP's towers
    model.TOWER = CfgNode()
    model.TOWER.RESOLUTION = 384  # side of the square that the image tower sees, in pixels; images are resized to it
    model.TOWER.TRAINED_IMAGE = "qv"  # attention weights of the image tower that are trained: of q, k, v; full; none
    model.TOWER.TRAINED_TEXT = "qv"  # and of the text tower

    # The cost of each location and class
    model.COST = CfgNode()
    model.COST.KIND = "cosine"  # or features: the embeddings of image and text side by side
    model.COST.MAX_CLASSES = 256  # fewer classes are padded to this number, of more the best are kept; 0: neither

    # The layers that aggregate costs over locations and over classes
    model.AGGREGATION = CfgNode()
    model.AGGREGATION.NUM_LAYERS = 2
    model.AGGREGATION.DIM = 128  # width of the cost embedding
    model.AGGREGATION.NUM_HEADS = 4
    model.AGGREGATION.GUIDANCE_DIM = 128  # width of the guidance from image and text
    model.AGGREGATION.SPATIAL = True  # aggregation over locations
    model.AGGREGATION.WINDOW = 12  # side of the windows of locations; as large as the grid or larger: no windows
    model.AGGREGATION.IMAGE_GUIDANCE = True
    model.AGGREGATION.CLASS = True  # aggregation over classes
    model.AGGREGATION.ATTENTION = "linear"  # over classes: linear or full
    model.AGGREGATION.POOLING = [2, 2]  # locations that are averaged before the aggregation over classes, in training
    model.AGGREGATION.POOLING_TEST = [1, 1]  # and at test
    model.AGGREGATION.TEXT_GUIDANCE = True

    # The decoder
    model.UPSAMPLING = CfgNode()
    model.UPSAMPLING.DIMS = [64, 32]  # widths of its two stages
    model.UPSAMPLING.GUIDED = True  # by features of the image tower
