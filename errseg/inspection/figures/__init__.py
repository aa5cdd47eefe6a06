"""Figures of an inspection that could stand in a paper: vector formats, one style, colours for the colour-blind."""

from .attention import draw_class_attention, draw_spatial_attention, of_head
from .cost import draw_cost
from .crm import draw_crm
from .guidance import draw_guidance
from .style import FORMATS, plain_style, save_figure

__all__ = [
    "FORMATS",
    "draw_class_attention",
    "draw_cost",
    "draw_crm",
    "draw_guidance",
    "draw_spatial_attention",
    "of_head",
    "plain_style",
    "save_figure",
]
