"""Evaluation over a data set, and the metrics of semantic segmentation."""

from .evaluator import DatasetEvaluator, DatasetEvaluators, inference_context, inference_on_dataset
from .sem_seg_evaluation import SemSegEvaluator
from .testing import print_csv_format, verify_results

__all__ = [
    "DatasetEvaluator", "DatasetEvaluators", "SemSegEvaluator", "inference_context", "inference_on_dataset",
    "print_csv_format", "verify_results",
]
