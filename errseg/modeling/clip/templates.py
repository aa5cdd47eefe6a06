"""Sets of prompt templates that papers use, by name."""

from collections.abc import Sequence

from open_clip import OPENAI_IMAGENET_TEMPLATES

__all__ = ["TEMPLATE_SETS", "templates_of"]

SIZES = ("small", "medium", "large")
TEMPLATE_SETS: dict[str, tuple[str, ...]] = {
    "imagenet": tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES),  # 80, of CLIP's authors
    "vild": (  # 14, of ViLD's authors
        "a photo of a {}.",
        "This is a photo of a {}",
        *(f"There is {article} {{}} in the scene" for article in ("a", "the")),
        "a photo of a {} in the scene",
        *(f"a photo of a {size} {{}}." for size in SIZES),
        *(f"This is a photo of a {size} {{}}." for size in SIZES),
        *(f"There is a {size} {{}} in the scene." for size in SIZES),
    ),
}


def templates_of(templates: str | Sequence[str]) -> list[str]:
    """Templates, where the name of a set stands for its templates."""
    given = [templates] if isinstance(templates, str) else list(templates)
    return [each for template in given for each in TEMPLATE_SETS.get(template, (template,))]
