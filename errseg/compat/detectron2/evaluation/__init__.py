"""Evaluation over a data set."""

from ..outside import outside
from .evaluator import DatasetEvaluator, DatasetEvaluators, inference_on_dataset
from .testing import verify_results

__getattr__ = outside(globals())

__all__ = ["DatasetEvaluator", "DatasetEvaluators", "inference_on_dataset", "verify_results"]
