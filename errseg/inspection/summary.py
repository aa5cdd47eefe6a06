"""The numbers of the attention figures, averaged over several pictures."""

from collections.abc import Sequence

import numpy as np

from .arrays import Inspection
from .figures import of_head

__all__ = ["attention_measures", "summarize"]

SENTENCES = {  # for each measure, its values with CRM and without
    "reach": "SFM's attention reaches {:.1f} pixels with CRM and {:.1f} without",
    "inside": "the names that win pixels give themselves and each other {:.1f} % of CFM's attention with CRM and "
    "{:.1f} % without",
}


def attention_measures(inspection: Inspection, head: int | None = None, at_point: bool = False) -> dict[str, float]:
    """The numbers under the attention figures of one picture.

    Args:
        inspection: has attention.
        head: from 1; None for the mean of all heads.
        at_point: measure CFM's attention at the point; False: the mean over all locations.

    Returns:
        The measures that the model has. "reach": the mean distance of SFM's attention from the point, in pixels, for
        the first shown name that CRM kept. "inside": the share of their attention in CFM that the names that win pixels
        give to themselves and each other, in per cent. "reach_all", "inside_all": the same with every name kept.

    Raises:
        UsageError: there is no such head.
    """
    attention, measures = inspection.attention, {}
    for suffix, run in (("", attention.spatial), ("_all", attention.spatial_all)):
        name = next(iter(attention.spatial.classes), None) if attention.spatial else None
        if run is not None and name in run.classes:
            measures[f"reach{suffix}"] = run.mean_distance(of_head(run.weights[run.classes.index(name)], head))
    for suffix, run in (("", attention.classes), ("_all", attention.classes_all)):
        if run is not None:
            weights = of_head(run.at_point if at_point else run.mean, head)
            measures[f"inside{suffix}"] = 100 * run.inside(weights, inspection.winners)
    return measures


def summarize(measures: Sequence[dict[str, float]]) -> list[str]:
    """One sentence for each kind of attention: the means over the pictures where CRM drops names."""
    sentences = []
    for key, text in SENTENCES.items():
        found = [(each[key], each[f"{key}_all"]) for each in measures if key in each and f"{key}_all" in each]
        if found:
            count = f"{len(found)} pictures" if len(found) > 1 else "1 picture"
            sentences.append(f"Mean of {count}: {text.format(*np.mean(found, axis=0))}.")
    return sentences
