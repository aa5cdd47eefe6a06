"""Where each part of a model has its weights from, for the log."""

from torch import nn

from .clip.build import RANDOM

PARTS = {  # first matching prefix of a parameter's name
    "backbone.clip.visual.": "CLIP image tower",
    "backbone.clip.": "CLIP text tower",
    "backbone.downsample16.": "second downsample",
    "sem_seg_head.hsm.": "HSM",
    "sem_seg_head.escf.": "ESCF",
    "sem_seg_head.gud.": "GUD",
}


class WeightSources(dict):
    """The source of each part's weights, by the part's name."""

    @classmethod
    def of(cls, model: nn.Module) -> "WeightSources":
        """The sources in a model just built: CLIP's, a copy of it, and random ones."""
        clip = getattr(model.backbone, "clip_source", RANDOM)
        copied = f"copy of stage 4's ({clip})"
        return cls(
            {part: clip if part.startswith("CLIP") else RANDOM for part in PARTS.values()}
            | {"second downsample": copied}
        )

    @classmethod
    def checkpoint(cls, path: str) -> "WeightSources":
        """All parts from one file."""
        return cls(dict.fromkeys(PARTS.values(), path))

    def describe(self, model: nn.Module) -> str:
        """One short block: every part that the model has, its number of parameters and their source."""
        counts: dict[str, list[int]] = {}
        for name, parameter in model.named_parameters():
            part = next((part for prefix, part in PARTS.items() if name.startswith(prefix)), "other")
            total, trained = counts.setdefault(part, [0, 0])
            counts[part] = [total + parameter.numel(), trained + parameter.numel() * parameter.requires_grad]
        lines = [f"Weights of {type(model).__name__}:"]
        for part, (total, trained) in counts.items():
            lines.append(f"  {part:<18} {total / 1e6:8.2f} M, {trained / 1e6:8.2f} M trained  {self.get(part, RANDOM)}")
        return "\n".join(lines)
