"""Classes of interest: a test set may name the classes that its task is about, for a mean IoU over these alone.

The metadata ``classes_of_interest`` of a test set hold the ids of these classes, as those of the MESS benchmark
(Blumenstiel et al., "What a MESS", NeurIPS 2023) do: the tumour, but not the tissue around it.
"""

from collections.abc import Sequence

import numpy as np
from detectron2.data import MetadataCatalog

from errseg.errors import UsageError, short

from .metrics import GROUND_TRUTH, INTEREST_SCORES, counts_of, means_of

__all__ = ["classes_of_interest", "interest_scores"]


def classes_of_interest(name: str) -> list[int]:
    """The ids of the classes of interest of a registered test set; empty where it names none.

    Raises:
        UsageError: the metadata hold something else than ids of classes.
    """
    metadata = MetadataCatalog.get(name)
    found = metadata.get("classes_of_interest")
    if found is None or len(found) == 0:
        return []
    ids = [int(each) for each in found if isinstance(each, (int, np.integer)) and not isinstance(each, bool)]
    count = len(metadata.stuff_classes)
    if len(ids) < len(found) or not all(0 <= each < count for each in ids):
        raise UsageError(
            f"classes_of_interest of {name} are {short(list(found))}; register ids of its {count} classes, from 0 to "
            f"{count - 1}."
        )
    return sorted(set(ids))


def interest_scores(matrix: np.ndarray, classes: Sequence[int], mean_over: str = GROUND_TRUTH) -> dict[str, float]:
    """INTEREST_SCORES of a confusion matrix, in percent; {} for no classes, nan for a mean over no class.

    With ``ground_truth_or_prediction``, CoI-mIoU is that of MESS's evaluator.

    Args:
        matrix: a confusion matrix.
        classes: ids of the classes of interest.
        mean_over: as for :func:`errseg.evaluation.metrics.scores_of`.
    """
    means = means_of(counts_of(matrix), (), mean_over, classes)
    return {score: float(means[score]) for score in INTEREST_SCORES if score in means}
