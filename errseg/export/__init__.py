"""Models as files that run without errseg: ONNX, or torch.export's (tools/export.py)."""

from .compare import Comparison, compare
from .exporting import Exported, export_model
from .formats import FORMATS, runner_of

__all__ = ["FORMATS", "Comparison", "Exported", "compare", "export_model", "runner_of"]
