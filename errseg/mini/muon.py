"""Muon, an optimiser for matrices: the momentum of a gradient, made orthogonal (K. Jordan and others, 2024)."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

__all__ = ["Muon", "orthogonal"]

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the polynomial that pushes singular values towards 1
ITERATIONS = 5
MOMENTUM = 0.95
SCALE = 0.2  # a step of AdamW has about this size at each weight


class Muon(torch.optim.Optimizer):
    """Muon in float32. ``torch.optim.Muon`` computes in bfloat16, which is slow on many CPUs.

    Args:
        params: matrices (M, N). A matrix of three times as many rows as columns holds queries, keys and values, and
            each third becomes orthogonal by itself.
        lr: the learning rate; it has the scale of AdamW's.
        weight_decay: of the weights, in proportion to the learning rate.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float = 0.05):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all matrices that have a gradient."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                average = self.state[matrix].setdefault("average", torch.zeros_like(matrix))
                average.lerp_(matrix.grad, 1 - MOMENTUM)
                ahead = matrix.grad.lerp(average, MOMENTUM)
                thirds = 3 if len(matrix) == 3 * matrix.shape[1] else 1
                update = torch.cat([SCALE * max(part.shape) ** 0.5 * orthogonal(part) for part in ahead.chunk(thirds)])
                matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthogonal rows or columns, about: (M, N) -> (M, N), singular values of 0.7 to 1.2.

    The iteration of Newton and Schulz, with coefficients that trade accuracy for speed.
    """
    wide = len(matrix) <= matrix.shape[1]
    x = matrix if wide else matrix.mT
    x = x / (x.norm() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT
