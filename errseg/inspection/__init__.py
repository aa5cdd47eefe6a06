"""What the model does with a picture: arrays first, figures second."""

from .arrays import Attention, ClassAttention, Guidance, Inspection, Ranking, SpatialAttention
from .files import save_inspection
from .inspect import PARTS, inspect

__all__ = [
    "PARTS",
    "Attention",
    "ClassAttention",
    "Guidance",
    "Inspection",
    "Ranking",
    "SpatialAttention",
    "inspect",
    "save_inspection",
]
