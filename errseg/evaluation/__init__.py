"""Evaluation on the data sets of DATASETS.TEST, with the scores of the field."""

from .evaluate import build_evaluator, check_names, evaluate, evaluate_with
from .evaluator import LabelMaps, VocabularyEvaluator
from .metrics import SCORES, shown_scores
from .report import results_table
from .split import check_split

__all__ = [
    "SCORES",
    "LabelMaps",
    "VocabularyEvaluator",
    "build_evaluator",
    "check_names",
    "check_split",
    "evaluate",
    "evaluate_with",
    "results_table",
    "shown_scores",
]
