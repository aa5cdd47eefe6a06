"""Export models to files that run without errseg: ONNX, or torch.export's format (``errseg export``)."""

from .exporting import Exported, export_model
from .formats import FORMATS, runner_of
from .pictures import PictureAgreement, agreement_on_pictures

__all__ = ["FORMATS", "Exported", "PictureAgreement", "agreement_on_pictures", "export_model", "runner_of"]
