"""The keys that errseg adds to Detectron2's configuration for every system, declared once with their meaning.

A system's own keys are in its folder, such as ``modeling/err_seg/config.py``; every configuration has them too.

A comment names the table or figure of the paper that a key drives. An unknown key in a YAML file or on a command line
is an error that names it (Detectron2's ``merge_from_file`` and ``merge_from_list``).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from detectron2.config import CfgNode

__all__ = ["MAX_PIXELS", "add_errseg_config", "key_ranges", "key_words", "register_keys", "samples_of", "training_keys"]

MAX_PIXELS = 64_000_000  # 8,000 × 8,000
Range = tuple[float, float]


class SystemKeys(NamedTuple):
    """What the packages below the models know of a system; see ``modeling/system.py``."""

    add_config: Callable[[CfgNode], None]
    ranges: Mapping[str, Range]
    training: Collection[str]
    samples: str
    words: Mapping[str, Sequence[str]]


_SYSTEMS: dict[str, SystemKeys] = {}


def register_keys(
    system: str,
    add_config: Callable[[CfgNode], None],
    ranges: Mapping[str, Range],
    training: Collection[str] = (),
    samples: str = "images",
    words: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Add the keys of a system to every configuration.

    Args:
        system: its meta-architecture.
        add_config: declares its keys, in place.
        ranges: the least and the largest value of its numeric keys.
        training: those of its keys that training alone reads.
        samples: what its data loaders serve, "images" or "regions".
        words: the words that a numeric key may hold in place of a number.
    """
    _SYSTEMS[system] = SystemKeys(add_config, ranges, training, samples, words or {})


def key_ranges() -> dict[str, Range]:
    """The least and the largest value of the systems' numeric keys."""
    return {key: limits for system in _SYSTEMS.values() for key, limits in system.ranges.items()}


def key_words() -> dict[str, Sequence[str]]:
    """The words that the systems' numeric keys may hold in place of a number."""
    return {key: words for system in _SYSTEMS.values() for key, words in system.words.items()}


def training_keys() -> frozenset[str]:
    """The systems' keys that training alone reads."""
    return frozenset(key for system in _SYSTEMS.values() for key in system.training)


def samples_of(cfg: CfgNode) -> str:
    """What the data loaders of a configuration serve: "images" with label maps, or "regions"."""
    system = _SYSTEMS.get(cfg.MODEL.META_ARCHITECTURE)
    return "images" if system is None else system.samples


def add_errseg_config(cfg: CfgNode) -> None:
    """Declare errseg's keys, and those of every system, in ``cfg``, in place."""
    add_shared_keys(cfg)
    for system in _SYSTEMS.values():
        system.add_config(cfg)


def declarations() -> dict[str, Callable[[CfgNode], None]]:
    """By its meta-architecture, the function with which each system declares its keys."""
    return {name: system.add_config for name, system in _SYSTEMS.items()}


def add_shared_keys(cfg: CfgNode) -> None:
    """Declare the keys of no single system in ``cfg``, in place."""
    model, solver, inputs, test = cfg.MODEL, cfg.SOLVER, cfg.INPUT, cfg.TEST

    model.META_ARCHITECTURE = "ERRSeg"  # the default system
    model.DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # asking for cuda where there is none is an error
    model.PRECISION = "float32"  # of image tower and head at test: or bfloat16, float16 (training: SOLVER.AMP.ENABLED)
    model.GRADIENT_CHECKPOINTING = False  # training keeps fewer activations and computes them twice
    model.PIXEL_MEAN = [123.675, 116.28, 103.53]  # RGB, 0-255
    model.PIXEL_STD = [58.395, 57.12, 57.375]

    # The CLIP model: both of its towers come from open_clip, unchanged.
    model.CLIP = CfgNode()
    model.CLIP.NAME = "convnext_base_w_320"  # an open_clip model name, or the path of a model config (*.json)
    model.CLIP.PRETRAINED = ""  # an open_clip tag, a local file (*.safetensors, *.pt, *.bin), or "" for random
    model.CLIP.DROP = 0.0  # dropout of the projection after a ConvNeXt trunk
    model.CLIP.DROP_PATH = 0.0  # stochastic depth of a ConvNeXt trunk
    model.CLIP.FINETUNE_IMAGE = True  # train the image tower's depth-wise, MLP and layer-scale weights (Tables II, XII)
    model.CLIP.FINETUNE_TEXT = True  # train the text tower's attention input and first MLP weights (Tables II, XII)

    # Names to prompts
    model.PROMPT = CfgNode()
    model.PROMPT.TEMPLATES = ("A photo of a {} in the scene",)  # averaged; also sets: "imagenet" (80), "vild" (14)
    model.PROMPT.SYNONYMS = "first"  # of "a, b": the first (ERR-Seg), the mean of all, or the whole text (DeOP)

    inputs.FORMAT = "RGB"
    inputs.MAX_PIXELS = MAX_PIXELS  # of a picture or label file; larger ones are refused before they are decoded
    inputs.RESOLUTION_TRAIN = 640  # side of the square that the encoder sees, in pixels, in training
    inputs.RESOLUTION_TEST = 640  # and at test (Table XIV); of windows alone, if the system sees whole images unresized
    inputs.COLOR_AUG_SSD = True  # SSD's colour augmentation in training
    inputs.SIZE_DIVISIBILITY = 640  # training crops are padded to a multiple of it (image 128, label ignored)
    inputs.CROP.SINGLE_CATEGORY_MAX_AREA = 1.0  # a crop in which one class covers more than this share is drawn again

    # Systems that classify regions, the pixels of one class in one image, draw those that they learn from once.
    cfg.DATASETS.REGIONS_PER_CLASS = 32  # drawn with replacement; a class with fewer keeps its own. 0: all
    cfg.DATASETS.REGIONS_SEED = 0  # of the draw

    # The papers of the field differ in these options at test; the defaults are those of ERR-Seg's paper.
    test.IMS_PER_BATCH = 1  # images that go through the model at once, in each process
    test.SCALES = (1.0,)  # average over views whose resolution is this many times INPUT.RESOLUTION_TEST
    test.FLIP = False  # average with the mirrored view
    test.KEEP_ASPECT = False  # True: the view is no square, but has the image's aspect ratio and the square's area
    test.SLIDING_WINDOW = False  # True: views are square windows of the loader's image (INPUT.MIN_SIZE_TEST)
    test.WINDOW_OVERLAP = 1 / 3  # least share of a window that the next window covers too
    test.WINDOW_CANVAS = 0  # cut windows from the image as a square of this side; 0: from the loader's image
    test.WINDOW_WHOLE = False  # True: the windows' mean is averaged with a view of the whole image, as in CAT-Seg
    test.MEAN_OVER = "ground_truth"  # classes that mIoU is over: "ground_truth", or "ground_truth_or_prediction"

    solver.OPTIMIZER = "AdamW"
    solver.CLIP_MULTIPLIER = 0.01  # learning rate of CLIP's parameters over that of the others
    solver.WEIGHT_DECAY_EMBED = 0.0  # of trained embeddings (nn.Embedding), such as queries; as in MaskFormer
    solver.POLY_LR_POWER = 0.9  # of LR_SCHEDULER_NAME WarmupPolyLR
    solver.POLY_LR_CONSTANT_ENDING = 0.0  # the lowest learning rate of WarmupPolyLR, over the first
    solver.BEST = ""  # a data set of DATASETS.TEST, or "first": the weights of its best mIoU are kept (model_best)
    solver.PATIENCE = 0  # training ends after this many evaluations without a better mIoU of that data set; 0: never
    solver.ACCUMULATION_STEPS = 1  # an iteration's images go through the model in this many batches

    cfg.WRITERS = ()  # trackers that get the losses and scores too: "wandb" (Weights & Biases), "mlflow"
