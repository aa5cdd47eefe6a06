"""Start a stage of the training from a part of another stage's checkpoint, or from ImageNet weights."""

from detectron2.config import CfgNode
from torch import nn

from ...errors import UsageError
from ...weight_files import check_fit, load_state_dict_file
from .backbone_weights import load_backbone_weights
from .released import to_released
from .resnet import ResNet

__all__ = ["load_backbone", "load_part"]


def load_part(cfg: CfgNode, key: str, part: nn.Module, prefix: str) -> str:
    """Load a part of the checkpoint that a key names, strictly.

    Nothing is loaded where the key is empty, and where a whole checkpoint follows (MODEL.WEIGHTS): the file of the
    earlier stage is then not needed.

    Args:
        cfg: the configuration.
        key: such as "MODEL.PROMPT.WEIGHTS", the path of a checkpoint of errseg or of a released one; the authors' files
            of stage 1 hold the prompt under its released name.
        part: the module that the weights are for.
        prefix: the beginning of their names in the checkpoint, such as "prompt.".

    Returns:
        The path; "" where nothing was loaded.

    Raises:
        UsageError: the file is missing or damaged, holds no such part, or does not fit; the message names the key.
    """
    section, name = key.removeprefix("MODEL.").split(".")
    path = cfg.MODEL[section][name]
    own = part.state_dict()
    if not path or not own or _needs_no_start(cfg):
        return ""
    released = {to_released(prefix + each): each for each in own}
    try:
        weights = load_state_dict_file(path, [*released, *(prefix + each for each in own)])["model"]
    except UsageError as error:
        raise UsageError(str(error).replace("MODEL.WEIGHTS", key)) from error
    found = {each.removeprefix(prefix): value for each, value in weights.items() if each.startswith(prefix)}
    weights = found or {released[each]: value for each, value in weights.items() if each in released}
    if not weights:
        raise UsageError(f"{key} = {path!r} holds no weights '{prefix}*'; give a checkpoint of the stage before.")
    check_fit(weights, own, f"{key} = {path!r}", "give a checkpoint that was trained with the same MODEL keys")
    part.load_state_dict(weights)
    part.weight_source = path  # for the log
    return path


def load_backbone(cfg: CfgNode, backbone: ResNet) -> None:
    """Load the ImageNet weights that MODEL.PROPOSALS.BACKBONE_WEIGHTS names, where ``load_part`` would load its part.

    Raises:
        UsageError: see ``load_backbone_weights``.
    """
    path = cfg.MODEL.PROPOSALS.BACKBONE_WEIGHTS
    if path and not _needs_no_start(cfg):
        load_backbone_weights(backbone, path)
        backbone.weight_source = path  # for the log


def _needs_no_start(cfg: CfgNode) -> bool:
    """Whether a whole checkpoint follows, or tensors have no values."""
    return bool(cfg.MODEL.WEIGHTS) or cfg.MODEL.DEVICE == "meta"
