"""Segment pictures and videos from the command line (tools/predict.py)."""

from .defaults import QUICKSTART, default_weights
from .run import Outcome, Settings, predict
from .sources import Source, find_sources

__all__ = ["QUICKSTART", "Outcome", "Settings", "Source", "default_weights", "find_sources", "predict"]
