"""The Python interface for segmenting pictures: load a model, set names, get results."""

from .loading import load
from .proposals import NameShare, Proposal, Proposals
from .result import ClassScore, Detections, KeptName, Result
from .segmenter import Segmenter

__all__ = ["ClassScore", "Detections", "KeptName", "NameShare", "Proposal", "Proposals", "Result", "Segmenter", "load"]
