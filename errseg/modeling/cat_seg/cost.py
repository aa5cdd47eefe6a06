"""The cost of every location and class, which classes stay, and the cost embedding (section 4).

Shapes: B images, T names, K classes kept, D the dimension that image and text share, C channels, g x g locations.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["EMBEDDINGS", "CosineEmbedding", "FeatureEmbedding", "Selection", "first_of_equal"]

KERNEL = 7


class CosineEmbedding(nn.Module):
    """A convolution of each class's map of cosines.

    Args:
        text_dim: D; it is not used.
        dim: C.
    """

    def __init__(self, text_dim: int, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(1, dim, KERNEL, padding=KERNEL // 2)

    def forward(self, cost: Tensor, dense: Tensor, text: Tensor) -> Tensor:
        """Cosines (B, K, g, g) -> (B, K, g g, C). The embeddings are not used."""
        x = self.conv(cost.flatten(0, 1).unsqueeze(1).to(self.conv.weight.dtype))
        return x.flatten(2).mT.unflatten(0, cost.shape[:2]).contiguous()


class FeatureEmbedding(nn.Module):
    """A convolution of the embeddings of image and text side by side, in place of their cosine.

    The convolution is the sum of one of the image's channels, the same for every class, and one of the text's, which
    are constant over the map but for its border.

    Args:
        text_dim: D.
        dim: C.
    """

    def __init__(self, text_dim: int, dim: int):
        super().__init__()
        self.conv = nn.Conv2d(2 * text_dim, dim, KERNEL, padding=KERNEL // 2)

    def forward(self, cost: Tensor, dense: Tensor, text: Tensor) -> Tensor:
        """Embeddings of unit length (B, D, g, g) and (B or 1, K, D) -> (B, K, g g, C). The cosines give the size."""
        weight, width = self.conv.weight, dense.shape[1]
        dense, text = dense.to(weight.dtype), text.to(weight.dtype)
        of_image = F.conv2d(dense, weight[:, :width], self.conv.bias, padding=KERNEL // 2).flatten(2).mT  # (B, g g, C)
        inside = F.unfold(dense.new_ones(1, 1, *dense.shape[-2:]), KERNEL, padding=KERNEL // 2)  # (1, 49, g g)
        of_taps = torch.einsum("bkd,cds->bksc", text, weight[:, width:].flatten(2))
        of_text = torch.einsum("sl,bksc->bklc", inside[0], of_taps)
        return of_image.unsqueeze(1) + of_text


EMBEDDINGS = {"cosine": CosineEmbedding, "features": FeatureEmbedding}


class Selection(nn.Module):
    """Keeps the classes whose largest cosine over the locations is largest. Of equal ones, the lower id stays."""

    def forward(self, cost: Tensor, most: int) -> Tensor | None:
        """The ids of the classes that stay: (B, T, g, g) -> (B, most), ascending; None where all stay."""
        if most >= cost.shape[1]:
            return None
        return best(cost, most)


def best(cost: Tensor, most: int) -> Tensor:
    """The ids of the ``most`` classes with the largest maximum: (B, T, g, g) -> (B, most), ascending."""
    order = cost.detach().amax((2, 3)).sort(dim=1, descending=True, stable=True).indices
    return order[:, :most].sort(dim=1).values


def first_of_equal(text: Tensor) -> Tensor | None:
    """For each name the lowest id whose text embedding is equal: (T, D) -> (T,); None where all differ.

    Equal prompts have equal embeddings. Their maps are made equal too, so that rounding does not decide between them.
    """
    if text.device.type == "meta" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return None
    count, inverse = len(text), text.detach().unique(dim=0, return_inverse=True)[1]
    if int(inverse.max()) + 1 == count:
        return None
    ids = torch.arange(count, device=text.device)
    first = ids.new_full((count,), count).scatter_reduce(0, inverse, ids, "amin")
    return first[inverse]
