"""Checking of results."""

import logging
import pprint
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..config import CfgNode
from ..outside import outside

__getattr__ = outside(globals())


def verify_results(cfg: CfgNode, results: Mapping[str, Any]) -> bool:
    """Compare results with ``TEST.EXPECTED_RESULTS``: (task, metric, value, tolerance) each.

    Returns:
        True. If a result is further off than its tolerance, the process exits with status 1.
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
    """Turn {a: {b: value}} into {a/b: value}, at any depth."""
    flat: dict[str, Any] = {}
    for name, value in results.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}/{inner}": v for inner, v in flatten_results_dict(value).items()})
        else:
            flat[name] = value
    return flat
