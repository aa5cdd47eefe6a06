import pytest
import torch

from errseg.modeling.err_seg.crm import CRM, KeepAll


def literal_scores(cost, top, coefficient):
    """Eq. 6 one location and one rank at a time."""
    batch, num_names, height, width = cost.shape
    scores = torch.zeros(batch, num_names, dtype=torch.float64)
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                for rank, name in enumerate(cost[b, :, y, x].argsort(descending=True)[:top]):
                    scores[b, name] += coefficient**rank
    return scores.float()


@pytest.mark.parametrize(("top", "coefficient"), [(1, 0.1), (3, 0.1), (5, 0.5)])
def test_scores_are_the_papers_formula(top, coefficient):
    cost = torch.randn(2, 7, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(CRM(top, coefficient).scores(cost), literal_scores(cost, top, coefficient))


def test_keeps_the_best_in_ascending_order():
    cost = torch.zeros(1, 6, 2, 2)
    cost[0, 4], cost[0, 1], cost[0, 3] = 0.9, 0.8, 0.7
    assert CRM()(cost, 3).tolist() == [[1, 3, 4]]
    assert CRM()(cost, 1).tolist() == [[4]]


def test_classes_of_the_ground_truth_stay_and_the_worst_of_the_rest_go():
    cost = torch.zeros(2, 6, 2, 2)
    cost[:, 5], cost[:, 4], cost[:, 3] = 0.9, 0.8, 0.7
    present = torch.zeros(2, 6, dtype=torch.bool)
    present[0, 0] = True
    assert CRM()(cost, 3, present).tolist() == [[0, 4, 5], [3, 4, 5]]


def test_fewer_names_than_ranks_and_than_k():
    cost = torch.rand(2, 2, 3, 3)
    assert CRM(top_categories=3).scores(cost).shape == (2, 2)
    assert CRM()(cost, 48).tolist() == [[0, 1], [0, 1]]


def test_without_crm_every_class_stays():
    assert KeepAll()(torch.rand(2, 3, 4, 4), 1).tolist() == [[0, 1, 2]] * 2


def test_no_category_is_an_error():
    with pytest.raises(ValueError, match="top_categories = 0"):
        CRM(top_categories=0)
