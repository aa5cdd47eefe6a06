"""Sets of prompt templates that papers use, by name."""

from collections.abc import Sequence
from functools import cache

from .libraries import open_clip

__all__ = ["template_sets", "templates_of"]

SIZES = ("small", "medium", "large")
VILD = (  # 14, of ViLD's authors
    "a photo of a {}.",
    "This is a photo of a {}",
    *(f"There is {article} {{}} in the scene" for article in ("a", "the")),
    "a photo of a {} in the scene",
    *(f"a photo of a {size} {{}}." for size in SIZES),
    *(f"This is a photo of a {size} {{}}." for size in SIZES),
    *(f"There is a {size} {{}} in the scene." for size in SIZES),
)


@cache
def template_sets() -> dict[str, tuple[str, ...]]:
    """The sets, by name."""
    imagenet = tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)  # 80, of CLIP's authors
    return {"imagenet": imagenet, "vild": VILD}


def templates_of(templates: str | Sequence[str]) -> list[str]:
    """Templates, where the name of a set stands for its templates."""
    given = [templates] if isinstance(templates, str) else list(templates)
    return [each for template in given for each in template_sets().get(template, (template,))]
