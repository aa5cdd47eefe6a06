"""Evaluation on the data sets of DATASETS.TEST, in the paper's terms."""

from .evaluate import SCORES, evaluate, results_table
from .evaluator import VocabularyEvaluator

__all__ = ["SCORES", "VocabularyEvaluator", "evaluate", "results_table"]
