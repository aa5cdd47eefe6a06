"""The Python interface for segmenting pictures: load a model, set names, get results."""

from .loading import load
from .result import ClassScore, Detections, KeptName, Result
from .segmenter import Segmenter

__all__ = ["ClassScore", "Detections", "KeptName", "Result", "Segmenter", "load"]
