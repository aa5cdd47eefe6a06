"""CLIP's text tower without redundant computations.

The tower is causal, and a prompt's embedding is that of its EOT token. Positions after the EOT of the longest prompt
are therefore cut off. The tokens with which all prompts begin ("a photo of a") are encoded once; every prompt uses
their keys and values.

Shapes: N prompts, P shared first tokens, S tokens that follow them, D text dimension.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...version import __version__
from ..layers import call
from .build import CLIPModel
from .libraries import open_clip
from .text_cache import digest_of_parts

CLIPBlock = Any  # open_clip's ResidualAttentionBlock


def encode_prompts(clip: CLIPModel, tokens: Tensor, run: Callable = call) -> Tensor:
    """The text embeddings of prompts, as ``clip.encode_text`` returns them.

    Args:
        clip: an open_clip model.
        tokens: (N, L) ids, on any device.
        run: calls a block in training: ``call``, or ``recompute`` to save memory.

    Returns:
        (N, D), not normalised.
    """
    if not is_plain_causal(clip):
        return clip.encode_text(tokens.to(clip.positional_embedding.device))
    ends = tokens.argmax(dim=1)  # EOT has the highest id
    length, shared = int(ends.max()) + 1, shared_length(tokens)
    tokens = tokens.to(clip.positional_embedding.device)
    first, rest = clip.token_embedding(tokens[:1, :shared]), clip.token_embedding(tokens[:, shared:length])
    return encode_embedded(clip, first, rest, ends - shared, run)


def encode_embedded(clip: CLIPModel, first: Tensor, rest: Tensor, ends: Tensor, run: Callable = call) -> Tensor:
    """The text embeddings of prompts whose token embeddings are given, such as those of a learned prompt.

    Args:
        clip: an open_clip model with CLIP's own text tower (``is_plain_causal``).
        first: (1, P, width) embeddings of the tokens with which all prompts begin; P may be 0.
        rest: (N, S, width) embeddings of the tokens that follow them, up to the EOT of the longest prompt.
        ends: (N,) index of each prompt's EOT in ``rest``, on any device.
        run: calls a block in training: ``call``, or ``recompute`` to save memory.

    Returns:
        (N, D), not normalised.
    """
    shared, length = first.shape[1], first.shape[1] + rest.shape[1]
    dtype, device = clip.transformer.get_cast_dtype(), rest.device
    positions = clip.positional_embedding.to(dtype)
    first = first.to(dtype) + positions[:shared]
    x = rest.to(dtype) + positions[shared:length]
    seen = torch.ones(length - shared, length, dtype=torch.bool, device=device).tril(shared)
    for block in clip.transformer.resblocks:
        first, x = run(_through, block, first, x, seen)
    x = clip.ln_final(x[torch.arange(len(x), device=device), ends.to(device)])
    return clip.text_projection(x) if isinstance(clip.text_projection, nn.Linear) else x @ clip.text_projection


def _through(block: CLIPBlock, first: Tensor, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """One block. The shared tokens (1, P, width) attend to themselves; the others (N, S, width) attend to both."""
    q, k, v = _project(block, x)
    if first.shape[1]:
        first_q, first_k, first_v = _project(block, first)
        first = _finish(block, first, F.scaled_dot_product_attention(first_q, first_k, first_v, is_causal=True))
        k = torch.cat([first_k.expand(len(k), -1, -1, -1), k], dim=2)
        v = torch.cat([first_v.expand(len(v), -1, -1, -1), v], dim=2)
    return first, _finish(block, x, F.scaled_dot_product_attention(q, k, v, attn_mask=seen))


def shared_length(tokens: Tensor) -> int:
    """P for (N, L) token ids. It is less than the length of the shortest prompt: an EOT is never a shared token."""
    same = (tokens == tokens[:1]).all(dim=0).long().cumprod(0).sum()
    return min(int(same), int(tokens.argmax(dim=1).min()))


def is_plain_causal(clip: CLIPModel) -> bool:
    """Whether a tower has open_clip's standard blocks, a causal mask, and pooling by the EOT token."""
    blocks = clip.transformer.resblocks
    return (
        getattr(clip, "text_pool_type", "argmax") == "argmax"
        and clip.attn_mask is not None
        and clip.text_projection is not None
        and all(type(block) is open_clip.transformer.ResidualAttentionBlock for block in blocks)
    )


def text_digest(clip: CLIPModel, *others: nn.Module) -> str:
    """A digest of everything but the tokens that a text embedding depends on.

    Args:
        clip: an open_clip model with CLIP's own text tower (``is_plain_causal``).
        others: further modules, such as a learned prompt.
    """
    tower = {name: value for name, value in clip.state_dict().items() if not name.startswith(("visual.", "logit_"))}
    states = [tower, *(module.state_dict() for module in others)]
    heads = [block.attn.num_heads for block in clip.transformer.resblocks]
    device = clip.positional_embedding.device.type
    structure = (__version__, torch.__version__, device, clip.transformer, heads, *others)

    def parts() -> Iterator[str | memoryview]:
        yield "\n".join(map(str, structure))
        for state in states:
            for name, value in state.items():
                yield f"{name} {value.dtype} {tuple(value.shape)}"
                yield memoryview(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())

    return digest_of_parts(parts())


def _project(block: CLIPBlock, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values: (N, L, width) -> three times (N, heads, L, width / heads)."""
    attention = block.attn
    qkv = F.linear(block.ln_1(x), attention.in_proj_weight, attention.in_proj_bias)
    q, k, v = qkv.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return q, k, v


def _finish(block: CLIPBlock, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a block, after its attention: (N, L, width), (N, heads, L, width / heads) -> (N, L, width)."""
    x = x + block.ls_1(block.attn.out_proj(attended.transpose(1, 2).flatten(2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))
