"""Models as files that run without errseg: ONNX, or torch.export's (tools/export.py)."""

from .exporting import Exported, export_model
from .formats import FORMATS

__all__ = ["FORMATS", "Exported", "export_model"]
