"""Evaluation on the data sets of DATASETS.TEST, with the scores of the paper."""

from .evaluate import check_names, evaluate, evaluate_with
from .evaluator import LabelMaps, VocabularyEvaluator
from .metrics import SCORES
from .report import results_table

__all__ = ["SCORES", "LabelMaps", "VocabularyEvaluator", "check_names", "evaluate", "evaluate_with", "results_table"]
