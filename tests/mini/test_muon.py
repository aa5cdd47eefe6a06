"""Muon makes its steps orthogonal, each of queries, keys and values by itself, and has the scale of AdamW."""

import pytest
import torch

from errseg.mini.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(24, 24), (12, 40), (40, 12)])
def test_the_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.min() > 0.6 and values.max() < 1.3
    assert torch.linalg.svdvals(orthogonal(matrix) - left @ right).max() < 0.4  # the nearest one


def test_queries_keys_and_values_have_steps_of_their_own():
    gradient = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    gradient[:4] *= 1e-4  # of the queries: a small gradient makes as large a step
    matrix = torch.nn.Parameter(torch.zeros(12, 4))
    matrix.grad = gradient
    Muon([matrix], lr=0.1).step()
    for third in matrix.detach().chunk(3):
        assert third.square().mean().sqrt() == pytest.approx(0.1 * 0.2, rel=0.2)


def test_a_matrix_without_gradient_stays_and_others_decay():
    still, moved = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    moved.grad = torch.zeros(4, 4)
    Muon([still, moved], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(still.detach(), torch.ones(4, 4))
    torch.testing.assert_close(moved.detach(), torch.full((4, 4), 0.95))
