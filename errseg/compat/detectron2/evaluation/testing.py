"""Printing and checking of results."""

import logging
import pprint
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..config import CfgNode

__all__ = ["flatten_results_dict", "print_csv_format", "verify_results"]


def print_csv_format(results: Mapping[str, Any]) -> None:
    """Log main metrics, one table of three lines for each task, ready to paste into a spreadsheet.

    Args:
        results: {task: {metric: value}}; metrics of single classes, whose names have a ``-``, are left out.
    """
    logger = logging.getLogger(__name__)
    for task, metrics in results.items():
        if not isinstance(metrics, Mapping):
            logger.info(f"copypaste: {task}={metrics}")
            continue
        main = {name: value for name, value in metrics.items() if "-" not in name}
        logger.info(f"copypaste: Task: {task}")
        logger.info("copypaste: " + ",".join(main))
        logger.info("copypaste: " + ",".join(f"{value:.4f}" for value in main.values()))


def verify_results(cfg: CfgNode, results: Mapping[str, Any]) -> bool:
    """Compare results with ``TEST.EXPECTED_RESULTS``: (task, metric, value, tolerance) each.

    Returns:
        True; where one is further off than its tolerance, the process ends with status 1.
    """
    expected = cfg.TEST.EXPECTED_RESULTS
    if not len(expected):
        return True
    logger = logging.getLogger(__name__)
    for task, metric, value, tolerance in expected:
        actual = results.get(task, {}).get(metric)
        if actual is None or not np.isfinite(actual) or abs(actual - value) > tolerance:
            logger.error("Result verification failed!")
            logger.error(f"Expected Results: {expected}")
            logger.error(f"Actual Results: {pprint.pformat(results)}")
            sys.exit(1)
    logger.info("Results verification passed.")
    return True


def flatten_results_dict(results: Mapping[str, Any]) -> dict[str, Any]:
    """{a: {b: value}} as {a/b: value}, at any depth."""
    flat: dict[str, Any] = {}
    for name, value in results.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}/{inner}": v for inner, v in flatten_results_dict(value).items()})
        else:
            flat[name] = value
    return flat
