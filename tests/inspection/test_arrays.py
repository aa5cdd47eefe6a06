"""Which proposals are the largest, and which add most to a name."""

import numpy as np

from errseg.inspection import Heatmaps, Proposals

MASKS = np.array([[[1, 0.2], [0, 0]], [[0, 0], [1, 1]], [[0.5, 0.5], [0.5, 1]]], np.float32)  # (3, 2, 2)
CLASSES = np.array([[0.9, 0.1, 0], [0.2, 0.1, 0.7], [0.5, 0.4, 0.1]], np.float32)  # two names and no object
PROPOSALS = Proposals(MASKS, CLASSES, cell=(10.0, 5.0))


def test_areas_and_names():
    np.testing.assert_allclose(PROPOSALS.areas, [0.3, 0.5, 0.625])
    assert PROPOSALS.order.tolist() == [2, 1, 0] and PROPOSALS.best.tolist() == [0, 2, 0]


def test_the_proposal_that_adds_most():
    assert PROPOSALS.strongest(0) == 2 and PROPOSALS.strongest(1) == 2
    assert PROPOSALS.strongest_at((3, 4), 0) == 0  # at the top left: 0.9, 0 and 0.25
    assert PROPOSALS.strongest_at((19, 9), 0) == 2  # at the bottom right: 0, 0.2 and 0.5
    assert PROPOSALS.strongest_at((9, 5), 0) == 2  # a pixel left of the second column: 0, 0.2 and 0.25


def test_each_proposal_is_shown_once_and_that_of_the_point_first():
    heatmaps = Heatmaps(MASKS, MASKS, PROPOSALS)
    assert heatmaps.to_show((3, 4), 0, (0, 1)) == {0: 0, 2: 0}
    assert heatmaps.to_show((19, 9), 1, (0, 1)) == {2: 1}
