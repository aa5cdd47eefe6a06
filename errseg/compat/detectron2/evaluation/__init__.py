"""Evaluation over a data set, and the metrics of semantic segmentation."""

from ..outside import outside
from .evaluator import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from .sem_seg_evaluation import SemSegEvaluator
from .testing import verify_results

__getattr__ = outside(globals())

__all__ = ["DatasetEvaluator", "DatasetEvaluators", "SemSegEvaluator", "inference_on_dataset", "verify_results"]
