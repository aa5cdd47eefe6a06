"""The models: one folder for each system, and what systems share. Importing this registers them."""

from .build import build, build_model, build_on_meta, check_device, released_of
from .cat_seg import CATSeg, SplitViTCLIP
from .deop import DeOP, SeveredViTCLIP
from .err_seg import ConvNeXtCLIP, ERRSeg, ERRSegHead, ViTCLIP
from .sed import SED, DenseConvNeXtCLIP
from .segmenter import OpenVocabularySegmenter
from .system import System, register, system_of, system_of_model, systems

__all__ = [
    "CATSeg",
    "SED",
    "ConvNeXtCLIP",
    "DenseConvNeXtCLIP",
    "DeOP",
    "ERRSeg",
    "ERRSegHead",
    "OpenVocabularySegmenter",
    "SeveredViTCLIP",
    "SplitViTCLIP",
    "System",
    "ViTCLIP",
    "build",
    "build_model",
    "build_on_meta",
    "check_device",
    "register",
    "released_of",
    "system_of",
    "system_of_model",
    "systems",
]
