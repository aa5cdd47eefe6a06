"""CRM for any number of names keeps the same names as CRM."""

import pytest
import torch

from errseg.modeling.err_seg.crm import CRM
from errseg.modeling.err_seg.export import AnyNumberCRM


@pytest.mark.parametrize(("top", "num_names"), [(1, 9), (3, 2), (3, 9), (5, 4), (5, 30)])
@pytest.mark.parametrize("num_classes", (1, 3, 9))
def test_crm_of_any_number_of_names_keeps_what_crm_keeps(top, num_names, num_classes):
    cost = torch.rand(2, num_names, 3, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    crm = CRM(top_categories=top)
    assert torch.equal(AnyNumberCRM(crm)(cost, num_classes), crm(cost, num_classes))


@pytest.mark.parametrize("num_names", (10, 200, 3000))
def test_of_equal_scores_the_lower_ids_stay(num_names):
    """One location, so that three names have points and all others have none."""
    cost = -torch.arange(float(num_names)).roll(5).view(1, -1, 1, 1) / num_names  # 5, 6, 7 are best
    for crm in (CRM(), AnyNumberCRM(CRM())):
        assert crm(cost, 6).tolist() == [[0, 1, 2, 5, 6, 7]]
