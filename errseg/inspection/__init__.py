"""Look inside a model while it segments a picture: compute arrays, then draw figures from them."""

from .arrays import (
    Attention,
    ClassAttention,
    Guidance,
    Heatmaps,
    Inspection,
    Proposals,
    Ranking,
    Severance,
    SpatialAttention,
)
from .files import save_inspection
from .inspect import PARTS, inspect
from .summary import attention_measures, summarize

__all__ = [
    "PARTS",
    "Attention",
    "ClassAttention",
    "Guidance",
    "Heatmaps",
    "Inspection",
    "Proposals",
    "Ranking",
    "Severance",
    "SpatialAttention",
    "attention_measures",
    "inspect",
    "save_inspection",
    "summarize",
]
