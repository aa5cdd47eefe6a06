"""Batch jobs: segment many pictures and videos into files."""

from .annotations import FORMATS as ANNOTATIONS
from .places import assign_places
from .run import Outcome, Settings, predict
from .sources import Source, find_sources

__all__ = ["ANNOTATIONS", "Outcome", "Settings", "Source", "assign_places", "find_sources", "predict"]
