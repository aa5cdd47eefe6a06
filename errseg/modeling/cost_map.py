"""Cost maps: the cosines of a dense image embedding and text embeddings.

Shapes: B images, T classes of the vocabulary, K classes kept, D text dimension.
"""

import torch.nn.functional as F
from torch import Tensor

from .layers import without_autocast

__all__ = ["cost_map"]


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
