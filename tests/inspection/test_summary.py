"""The numbers of several pictures, in a sentence each."""

import numpy as np
import pytest

from errseg.errors import UsageError
from errseg.inspection import attention_measures, inspect, summarize
from errseg.inspection.arrays import ClassAttention


def test_inside():
    """Classes 2 and 7 of 2, 5, 7: what they give each other and themselves."""
    weights = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.0, 0.6, 0.4]])
    attention = ClassAttention(np.array([2, 5, 7]), weights[None], weights[None])
    assert attention.inside(weights, np.array([7, 2])) == pytest.approx((0.7 + 0.4) / 2)
    assert attention.inside(weights, np.array([5])) == pytest.approx(0.8)
    assert attention.inside(weights, np.array([2, 5, 7])) == pytest.approx(1)


def test_measures_are_those_of_the_figures(segmenter, picture):
    inspection = inspect(segmenter(), picture, ["attention"])
    attention = inspection.attention
    for head, at_point in ((None, False), (2, True)):
        found = attention_measures(inspection, head, at_point)
        pick = (lambda x: x.mean(0)) if head is None else (lambda x: x[1])
        for suffix in ("", "_all"):
            spatial, classes = (getattr(attention, kind + suffix) for kind in ("spatial", "classes"))
            slot = spatial.classes.index(inspection.shown[0])
            assert found[f"reach{suffix}"] == pytest.approx(spatial.mean_distance(pick(spatial.weights[slot])))
            weights = pick(classes.at_point if at_point else classes.mean)
            assert found[f"inside{suffix}"] == pytest.approx(100 * classes.inside(weights, inspection.winners))
    with pytest.raises(UsageError, match="head 9"):
        attention_measures(inspection, 9)


@pytest.mark.parametrize(("module", "kind"), [("SFM", "reach"), ("CFM", "inside")])
def test_a_model_without_a_module_has_no_measures_of_it(module, kind, segmenter, picture):
    found = attention_measures(inspect(segmenter(f"MODEL.ESCF.{module}", False), picture, ["attention"]))
    assert set(found) == {"reach", "reach_all", "inside", "inside_all"} - {kind, f"{kind}_all"}


def test_where_crm_drops_no_name(segmenter, picture):
    found = attention_measures(inspect(segmenter(num_classes=0), picture, ["attention"]))
    assert set(found) == {"reach", "inside"}


def test_sentences():
    some = [{"reach": 10.0, "reach_all": 8.0, "inside": 50.0}, {"reach": 20.0, "reach_all": 9.0, "inside": 70.0}]
    assert summarize(some) == ["Mean of 2 pictures: SFM's attention reaches 15.0 pixels with CRM and 8.5 without."]
    some[0]["inside_all"] = 25.0
    assert summarize(some)[1] == (
        "Mean of 1 picture: the names that win pixels give themselves and each other 50.0 % of CFM's attention with "
        "CRM and 25.0 % without."
    )
    assert summarize([]) == []
