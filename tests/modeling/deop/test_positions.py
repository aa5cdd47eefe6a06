"""Learned positions: resized bicubically, added where they belong."""

import pytest
import torch
import torch.nn.functional as F

from errseg.errors import UsageError
from errseg.modeling.deop.positions import LearnedPositions, NoPositions, resize_table

TABLE = torch.randn(1 + 36, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(3, 4), (9, 6), (4, 9), (13, 2)])  # (4, 9) has as many patches as the table
def test_tables_are_resized_as_by_bicubic_interpolation(size):
    grid = TABLE[1:].T.reshape(1, 8, 6, 6)
    wanted = F.interpolate(grid, size=size, mode="bicubic", align_corners=False)[0].flatten(1).T
    resized = resize_table(TABLE, size)
    torch.testing.assert_close(resized[1:], wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(resized[0], TABLE[0])


def test_a_table_of_the_same_grid_is_used_as_it_is():
    assert resize_table(TABLE, (6, 6)) is TABLE


def test_tables_are_added_at_their_blocks_with_gradients():
    torch.manual_seed(0)
    learned, x = LearnedPositions(8, 6, (2, 1), depth=4), torch.randn(2, 1 + 12, 8)
    assert list(learned.blocks) == ["1", "2"] and 0.1 < learned.input.std() * 8**0.5 < 10
    assert learned.enter(0, x, (3, 4)) is x and learned.enter(3, x, (3, 4)) is x
    torch.testing.assert_close(learned.enter(2, x, (3, 4)) - x, resize_table(learned.blocks["2"], (3, 4)).expand_as(x))
    (learned.at_input((3, 4)).sum() + learned.enter(1, x, (3, 4)).sum() + learned.enter(2, x, (3, 4)).sum()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in learned.parameters())
    assert learned.state_dict().keys() == {"input", "blocks.1", "blocks.2"}


def test_no_positions():
    x = torch.randn(2, 13, 8)
    assert NoPositions().at_input((3, 4)) == 0 and NoPositions().enter(1, x, (3, 4)) is x


def test_a_block_that_is_not_there():
    with pytest.raises(UsageError, match=r"position_blocks = \[4\]: the image tower has the blocks 0 to 3"):
        LearnedPositions(8, 6, (4,), depth=4)
