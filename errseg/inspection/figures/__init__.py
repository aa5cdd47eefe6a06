"""Figures of an inspection, fit for a paper: vector formats, one style, colours that colour-blind readers can tell
apart.
"""

from .attention import draw_class_attention, draw_spatial_attention, of_head
from .cost import draw_cost
from .crm import draw_crm
from .guidance import draw_guidance
from .heatmaps import draw_heatmaps
from .proposals import draw_proposals
from .severance import draw_severance
from .style import FORMATS, add_caption, close_gaps, new_figure, plain_style, save_figure

__all__ = [
    "FORMATS",
    "add_caption",
    "close_gaps",
    "draw_class_attention",
    "draw_cost",
    "draw_crm",
    "draw_guidance",
    "draw_heatmaps",
    "draw_proposals",
    "draw_severance",
    "draw_spatial_attention",
    "new_figure",
    "of_head",
    "plain_style",
    "save_figure",
]
