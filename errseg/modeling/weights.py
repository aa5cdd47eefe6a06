"""The source of the weights of each part of a model, for the log."""

from typing import Any

from detectron2.config import CfgNode
from torch import nn

from ..errors import UsageError
from .clip import RANDOM
from .system import system_of, system_of_model

__all__ = ["WeightSources", "require_weights"]


class WeightSources(dict):
    """The source of each part's weights, by the part's name in the system's record.

    Attributes:
        released: whether all weights are from a checkpoint that the authors released.
    """

    released = False

    @classmethod
    def of(cls, model: nn.Module) -> "WeightSources":
        """The sources in a new model: CLIP's file or tag, copies of CLIP's weights, other files, and random weights."""
        system = system_of_model(model)
        clip = getattr(getattr(model, "backbone", None), "clip_source", RANDOM)
        sources = {part: clip if part.startswith("CLIP") else RANDOM for part in system.parts.values()}
        sources |= {part: f"{how} ({clip})" for part, how in system.copied_parts.items()}
        for name, module in model.named_modules():
            source = getattr(module, "weight_source", None)  # of a module that has been loaded from a file of its own
            if isinstance(source, str):
                sources |= {part: source for prefix, part in system.parts.items() if prefix.startswith(f"{name}.")}
        return cls(sources)

    @classmethod
    def checkpoint(cls, model: nn.Module, path: str, released: bool = False) -> "WeightSources":
        """The sources after a checkpoint is loaded: one file for all parts."""
        sources = cls(dict.fromkeys(system_of_model(model).parts.values(), path))
        sources.released = released
        return sources

    @property
    def clip(self) -> str:
        """The source of CLIP's weights; "" where the model has no CLIP."""
        return next((source for part, source in self.items() if part.startswith("CLIP")), "")

    @property
    def has_random(self) -> bool:
        """Whether a part has random weights."""
        return any(source.startswith(RANDOM) for source in self.values())

    def describe(self, model: nn.Module) -> str:
        """A short text for the log: each part of the model, its number of parameters and their source."""
        parts = system_of_model(model).parts
        counts: dict[str, list[int]] = {}
        for name, parameter in model.named_parameters():
            part = next((part for prefix, part in parts.items() if name.startswith(prefix)), "other")
            total, trained = counts.setdefault(part, [0, 0])
            counts[part] = [total + parameter.numel(), trained + parameter.numel() * parameter.requires_grad]
        lines = [f"Weights of {type(model).__name__}:"]
        other = next(iter(self.values()), RANDOM)
        width = max(18, *map(len, counts))
        for part, (total, trained) in counts.items():
            source = self.get(part, other if len(set(self.values())) == 1 else RANDOM)
            lines.append(f"  {part:<{width}} {total / 1e6:8.2f} M, {trained / 1e6:8.2f} M trained  {source}")
        return "\n".join(lines)


def require_weights(cfg: CfgNode, model: nn.Module) -> None:
    """Refuse to train on random weights of parts that need others, if the configuration names weights of CLIP.

    Raises:
        UsageError: ``MODEL.CLIP.PRETRAINED`` names weights that could not be loaded; or a part that its system's record
            lists in ``needs_weights`` is random.
    """
    sources: Any = getattr(model, "weight_sources", WeightSources())  # a model that a caller built may lack it
    if not cfg.MODEL.CLIP.PRETRAINED:
        return
    if sources.clip.startswith(RANDOM):
        raise UsageError(
            f"MODEL.CLIP.PRETRAINED = {cfg.MODEL.CLIP.PRETRAINED!r} could not be downloaded, and training on random "
            "CLIP weights is useless; give a local file, or '' if you want random weights."
        )
    for part, key in system_of(cfg).needs_weights(cfg).items():
        if sources.get(part, "").startswith(RANDOM):
            raise UsageError(
                f"{key} is empty, and this training does not change the {part}, so that it would stay random; give a "
                "checkpoint of the stage before, or set MODEL.CLIP.PRETRAINED to '' if you want random weights."
            )
