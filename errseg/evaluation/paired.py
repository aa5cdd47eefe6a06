"""Whether the difference of two evaluations is more than the choice of images explains: the paired bootstrap."""

from collections.abc import Mapping, Sequence
from typing import Any

from errseg.errors import UsageError

from .bootstrap import Interval, Measured, difference_intervals, mean_intervals
from .metrics import GROUND_TRUTH, GROUND_TRUTH_OR_PREDICTION, MEAN_IOUS
from .per_image import unpack

__all__ = ["Spread", "are_intervals", "averaged", "paired", "span", "verdict"]

Result = Mapping[str, Any]
Spread = Mapping[str, Interval | None]
MEANS = (GROUND_TRUTH, GROUND_TRUTH_OR_PREDICTION)


def paired(a: Result, b: Result) -> Spread:
    """The 95 % intervals of the differences of mean IoUs, B minus A; empty where the images cannot be paired.

    Args:
        a, b: the results of one data set in two evaluations.

    Raises:
        UsageError: a result holds confusions of images that are damaged.
    """
    if "per_image" not in a or "per_image" not in b or not a.get("checksum") or a["checksum"] != b.get("checksum"):
        return {}
    both = _read(a), _read(b)
    if both[0].images.true.shape[0] != both[1].images.true.shape[0]:
        raise UsageError(f"{a['paper_name']}: the evaluations of equal data have unequal images; evaluate again.")
    found = difference_intervals(*both)
    return {score: found[score] for score in MEAN_IOUS if score in found}


def averaged(results: Sequence[Result]) -> Spread:
    """The 95 % intervals over images of means of mean IoUs over runs; empty where the images are not the same.

    Args:
        results: of one data set in the evaluations of several runs, such as those of several seeds.

    Raises:
        UsageError: a result holds confusions of images that are damaged.
    """
    checksums = {result.get("checksum") if "per_image" in result else None for result in results}
    if len(checksums) != 1 or None in checksums:
        return {}
    found = mean_intervals([_read(result) for result in results])
    return {score: found[score] for score in MEAN_IOUS if score in found}


def _read(result: Result) -> Measured:
    """The counts of each image of a result, and what its means are over.

    Raises:
        UsageError: one of them is damaged.
    """
    count = len(result["classes"])
    parts = {key: result.get(key) or [] for key in ("unseen", "classes_of_interest")}
    try:
        for key, ids in parts.items():
            if not isinstance(ids, list) or not all(type(i) is int and 0 <= i < count for i in ids):
                raise UsageError(f"its {key.replace('unseen', 'unseen classes')} are no ids of classes")
        mean_over = result.get("mean_over", GROUND_TRUTH)
        if mean_over not in MEANS:
            raise UsageError(f"its mean_over is none of {', '.join(MEANS)}")
        return Measured(unpack(result["per_image"], count), parts["unseen"], mean_over, parts["classes_of_interest"])
    except UsageError as error:
        raise UsageError(f"The results of {result['paper_name']} are damaged ({error}); evaluate again.") from error


def verdict(a: Result, b: Result, spread: Spread) -> str:
    """A sentence: whether the difference of mIoU is within its interval over images."""
    name, interval = a["paper_name"], spread.get("mIoU")
    if interval is None or a["mIoU"] is None or b["mIoU"] is None:
        if "per_image" not in a or "per_image" not in b:
            reason = "a file of an older version has no confusions of images: evaluate again"
        elif a.get("checksum") != b.get("checksum"):
            reason = "the evaluations are of other images"
        else:
            reason = "it takes two images and a score"
        return f"{name}: whether the difference is more than chance is not known ({reason})."
    images, difference = a.get("images", "the"), b["mIoU"] - a["mIoU"]
    judged = "within" if interval.low <= 0 <= interval.high else "more than"
    return (
        f"{name}: the difference of mIoU, {difference:+.2f}, is {judged} what the choice of the {images} images "
        f"explains (95 % interval {span(interval)})."
    )


def span(interval: Interval) -> str:
    """The bounds of a difference."""
    return f"{interval.low:+.2f} to {interval.high:+.2f}"


def are_intervals(value: Any) -> bool:
    """Whether the ``intervals`` of a result, from a file of any source, are pairs of percentages or None by score."""
    if not isinstance(value, dict):
        return False
    pairs = [each for each in value.values() if each is not None]
    return all(
        isinstance(pair, list) and len(pair) == 2 and all(type(x) in (int, float) and 0 <= x <= 100 for x in pair)
        for pair in pairs
    )
