"""DeOP's configuration keys."""

from detectron2.config import CfgNode

__all__ = ["ARGUMENT_KEYS", "KEY_RANGES", "TRAINING_KEYS", "add_config"]

KEY_RANGES = {
    "MODEL.PROMPT.LENGTH": (1, 1024),
    "MODEL.PROPOSALS.NUM_QUERIES": (1, 10_000),
    "MODEL.PROPOSALS.DIM": (32, 65_536),
    "MODEL.PROPOSALS.NUM_HEADS": (1, 1024),
    "MODEL.PROPOSALS.FFN_DIM": (1, 1_000_000),
    "MODEL.PROPOSALS.NUM_LAYERS": (1, 64),
    "MODEL.PROPOSALS.DROPOUT": (0, 1),
    "MODEL.PROPOSALS.FOCAL_WEIGHT": (0, 1e6),
    "MODEL.PROPOSALS.DICE_WEIGHT": (0, 1e6),
    "MODEL.PROPOSALS.NO_OBJECT_WEIGHT": (0, 1e6),
    "SOLVER.BACKBONE_MULTIPLIER": (0, 1e6),
    "MODEL.POSITIONS.GRID": (1, 1024),
    "MODEL.ANCHORS.NUM_LAYERS": (0, 64),
    "MODEL.LOSS.FOCAL": (0, 1e6),
    "MODEL.LOSS.DICE": (0, 1e6),
    "MODEL.LOSS.SLOPE": (0, 1e6),
}
ARGUMENT_KEYS = {  # the keys of the arguments of the model and its encoders
    "clip": "MODEL.CLIP.NAME",
    "blocks": "MODEL.PATCH_SEVERANCE.BLOCKS",
    "mode": "MODEL.PATCH_SEVERANCE.MODE",
    "position_blocks": "MODEL.POSITIONS.BLOCKS",
    "precision": "MODEL.PRECISION",
}
TRAINING_KEYS = (
    "MODEL.PROPOSALS.DROPOUT",
    "MODEL.PROPOSALS.WEIGHTS",
    "MODEL.PROPOSALS.BACKBONE_WEIGHTS",
    "MODEL.PROPOSALS.FOCAL_WEIGHT",
    "MODEL.PROPOSALS.DICE_WEIGHT",
    "MODEL.PROPOSALS.NO_OBJECT_WEIGHT",
    "MODEL.PROMPT.WEIGHTS",
    "MODEL.PROMPT.TRAINED",
    "MODEL.LOSS.FOCAL",
    "MODEL.LOSS.DICE",
    "MODEL.LOSS.SLOPE",
)


def add_config(cfg: CfgNode) -> None:
    """Declare DeOP's keys in ``cfg``, in place."""
    model = cfg.MODEL

    # Mask proposals
    model.PROPOSALS = CfgNode()
    model.PROPOSALS.BACKBONE = "ResNet101c"  # or ResNet50, ResNet18c, ResNet18cHalf
    model.PROPOSALS.NUM_QUERIES = 100  # proposals of an image, and as many classification anchors
    model.PROPOSALS.DIM = 256  # width of pixel decoder and transformer
    model.PROPOSALS.NUM_HEADS = 8
    model.PROPOSALS.FFN_DIM = 2048  # width of the transformer's feed-forward networks
    model.PROPOSALS.NUM_LAYERS = 6
    model.PROPOSALS.DROPOUT = 0.1  # in stage 2; the last stage keeps the network in evaluation mode
    model.PROPOSALS.WEIGHTS = ""  # a checkpoint of stage 2, whose proposal network stage 3 starts from
    model.PROPOSALS.BACKBONE_WEIGHTS = ""  # ImageNet weights that stage 2 starts from

    # The training of the proposals (stage 2)
    model.PROPOSALS.CLASS_AGNOSTIC = False  # True: each id in the labels of an image is a mask, and no class is learned
    model.PROPOSALS.FOCAL_WEIGHT = 20.0  # of the masks' focal loss, in the loss and in the matching
    model.PROPOSALS.DICE_WEIGHT = 1.0  # of the masks' dice loss, likewise
    model.PROPOSALS.NO_OBJECT_WEIGHT = 0.1  # of proposals without a mask in the cross-entropy; classes have 1
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1  # learning rate of the proposals' backbone over that of the other parameters

    # CLIP's image tower
    model.PATCH_SEVERANCE = CfgNode()
    model.PATCH_SEVERANCE.MODE = "masked"  # masked, plain (GPS), guided (MPS) or none
    model.PATCH_SEVERANCE.BLOCKS = [11]  # the severed blocks, counted from 0
    model.POSITIONS = CfgNode()
    model.POSITIONS.ENABLED = True  # learned positions, added to the tokens beside CLIP's own
    model.POSITIONS.BLOCKS = [1, 2, 3, 4, 5]  # blocks at whose entry a learned table is added; one is at the input
    model.POSITIONS.GRID = 24  # side of the learned tables, in patches; they are resized to the image's patches

    # Classification anchors
    model.ANCHORS = CfgNode()
    model.ANCHORS.NUM_LAYERS = 1  # layers before the pooling layer; may be 0
    model.ANCHORS.MASKED = False  # True: the masks also multiply the attention of these layers, after the softmax

    # The learned prompt
    model.PROMPT.LEARNED = False  # True: learned vectors stand before each name (DeOP) in place of TEMPLATES
    model.PROMPT.LENGTH = 16  # number of learned vectors
    model.PROMPT.TRAINED = True  # the last stage trains the learned prompt on
    model.PROMPT.WEIGHTS = ""  # a checkpoint of stage 1, whose prompt the later stages start from

    # The loss of the last stage
    model.LOSS = CfgNode()
    model.LOSS.FOCAL = 2.0  # weight of the focal loss
    model.LOSS.DICE = 0.8  # weight of the dice loss
    model.LOSS.SLOPE = 3.0  # slope of the sigmoid that turns a class's score into a probability
