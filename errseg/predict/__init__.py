"""Segment pictures and videos from the command line (tools/predict.py)."""

from .run import Outcome, Settings, predict
from .sources import Source, find_sources

__all__ = ["Outcome", "Settings", "Source", "find_sources", "predict"]
