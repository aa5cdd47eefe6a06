"""ViT-CLIP as a dense encoder: patch tokens for images of any size, with an optional attention mask for each block.

Shapes: B images, h x w patches of P x P pixels, C the width of a token, D the dimension that image and text share.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import ArgumentError, UsageError
from .build import CLIPModel
from .encoder import CLIPEncoder, wrong_tower
from .libraries import open_clip


class ViTEncoder(CLIPEncoder):
    """A CLIP model whose image tower is open_clip's VisionTransformer with patches of P x P pixels.

    Args:
        clip: an open_clip model.
        arguments: further arguments of ``CLIPEncoder``.

    Raises:
        UsageError: the image tower is not a VisionTransformer.
        ArgumentError: its patch size is not one of ``patch_sizes``; or it pools by attention, or drops patches.
    """

    patch_sizes: tuple[int, ...] = (8, 16, 32)  # they divide the multiple to which images are padded

    def __init__(self, clip: CLIPModel, **arguments):
        if not isinstance(clip.visual, open_clip.transformer.VisionTransformer):
            raise UsageError(wrong_tower(type(self).__name__, clip, "a ViT, such as ViT-B-16"))
        height, width = clip.visual.patch_size
        if height != width or height not in self.patch_sizes:
            sizes = " or ".join(f"{size} x {size}" for size in self.patch_sizes)
            raise ArgumentError("{clip} has patches of %s x %s pixels; it needs a ViT of %s.", height, width, sizes)
        pools, drops = clip.visual.attn_pool is not None, not isinstance(clip.visual.patch_dropout, nn.Identity)
        if pools or drops:
            unused = "pooling by attention" if pools else "dropout of patches"
            raise ArgumentError("{clip} has a %s, which a dense embedding cannot have; remove it.", unused)
        super().__init__(clip, **arguments)
        self.patch_size: int = height

    def tokens(
        self, images: Tensor, blocks: Collection[int], masks: Mapping[int, Tensor] | None = None
    ) -> tuple[dict[int, Tensor], Tensor]:
        """Run the tower, and keep the patch tokens after some blocks.

        Args:
            images: (B, 3, P h, P w) normalised.
            blocks: indices of the blocks whose patch tokens are kept.
            masks: by block index, an attention mask (L, L) or (B heads, L, L) for the L = 1 + h w tokens, the class
                token first. It is added to the attention logits: 0, or -inf where a token (row) does not see another
                (column). Blocks without a mask attend to all tokens.

        Returns:
            The patch tokens after the chosen blocks (B, C, h, w), and all tokens after the last block (B, 1 + h w, C).

        Raises:
            ArgumentError: a mask is not of floating-point numbers.
        """
        masks = masks or {}
        for i, each in masks.items():
            if not each.is_floating_point():  # open_clip's blocks would add a bool as 0 and 1
                raise ArgumentError("{masks}: the mask of block %s is of %s; give 0 and -inf.", i, each.dtype)
        (x, size), kept = self.embed(images), {}
        for i, block in enumerate(self.clip.visual.transformer.resblocks):
            mask = masks.get(i)
            x = self.run(block, x) if mask is None else self.run(block, x, None, None, mask)
            if i in blocks:
                kept[i] = x[:, 1:].transpose(1, 2).unflatten(2, size)
        return kept, x

    def embed(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """The tokens at the entry of the first block (B, 1 + h w, C), and (h, w)."""
        visual = self.clip.visual
        x = visual.conv1(images.to(visual.conv1.weight.dtype))
        size = (x.shape[2], x.shape[3])
        x = x.flatten(2).transpose(1, 2) + self.positions(size).to(x.dtype)
        first = (visual.class_embedding + visual.positional_embedding[0]).to(x.dtype).expand(x.shape[0], 1, -1)
        return visual.ln_pre(torch.cat([first, x], dim=1)), size

    def dense_embedding(self, tokens: Tensor, size: Sequence[int]) -> Tensor:
        """Apply CLIP's projection to each patch separately: (B, 1 + h w, C) and (h, w) -> (B, D, h, w)."""
        visual = self.clip.visual
        dense = visual.ln_post(tokens[:, 1:]) @ visual.proj
        return dense.transpose(1, 2).unflatten(2, size)

    def positions(self, size: Sequence[int]) -> Tensor:
        """The positional embeddings of the patches, resized to a grid of ``size``: (h w, C)."""
        grid = self.clip.visual.positional_embedding[1:].unflatten(0, self.clip.visual.grid_size)
        grid = grid.permute(2, 0, 1).unsqueeze(0)
        if tuple(grid.shape[-2:]) != tuple(size):
            grid = F.interpolate(grid, size=tuple(size), mode="bicubic", align_corners=False)
        return grid.squeeze(0).flatten(1).T
