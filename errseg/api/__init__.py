"""The Python entry for people who want masks: a model from a file, names, pictures, results."""

from .loading import load
from .result import ClassScore, Detections, KeptName, Result
from .segmenter import Segmenter

__all__ = ["ClassScore", "Detections", "KeptName", "Result", "Segmenter", "load"]
