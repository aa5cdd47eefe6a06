"""Cost maps: the cosines of a dense image embedding and text embeddings.

Shapes: B images, T classes of the vocabulary, K classes kept, D text dimension.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import resize, without_autocast

__all__ = ["BLOCK", "CostBlocks", "cost_map"]

BLOCK = 4096  # classes of a block, where there are more


def cost_map(dense: Tensor, text: Tensor) -> Tensor:
    """Cosine of every location and every class (ERR-Seg: Eq. 3), in float32 even under autocast.

    Args:
        dense: (B, D, H, W) dense image embedding.
        text: (T, D) or (B, K, D) text embeddings of unit length.

    Returns:
        (B, T, H, W) or (B, K, H, W). The classes of a location are contiguous in memory, for CRM to rank.
    """
    with without_autocast(dense.device):
        x = F.normalize(dense.float(), dim=1).flatten(2).transpose(1, 2)  # (B, H W, D)
        return (x @ text.float().mT).transpose(1, 2).unflatten(2, dense.shape[-2:])


class CostBlocks:
    """The cost map of one dense embedding and many classes, a block of classes at a time.

    Memory does not grow with T. The numbers of a block do not depend on how many blocks follow.

    Args:
        dense: (B, D, h, w) dense image embedding.
        text: (T, D) text embeddings of unit length.
        size: H and W, to which the cost map is resized.
    """

    def __init__(self, dense: Tensor, text: Tensor, size: tuple[int, int]):
        self._dense, self._text, self._size = dense, text, size
        self.shape = torch.Size((len(dense), len(text), *size))
        self.device = dense.device

    def __iter__(self) -> Iterator[Tensor]:
        """Blocks (B, t, H, W) of the classes in their order."""
        return (resize(cost_map(self._dense, part), self._size) for part in self._text.split(BLOCK))

    def whole(self) -> Tensor:
        """The cost map (B, T, H, W)."""
        return torch.cat(list(self), dim=1)
