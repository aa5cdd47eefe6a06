"""The text embeddings of many prompts, and the tokens of many names, kept on disk (``text_files``).

A file of embeddings holds up to ``ROWS`` prompts. Its name begins with the digest of everything but the tokens that an
embedding depends on: the weights and the structure of the text tower, the kind of device, and the versions of torch and
errseg. The key of a prompt is a digest of its tokens. So vocabularies share prompts, whatever their order and templates
are.

Shapes: N prompts, L tokens per prompt, D text dimension.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ...version import __version__
from .text_files import TextFiles, text_files

__all__ = ["MANY", "TextCache", "cached_tokens", "digest_of_parts", "keys_of"]

MANY = 500  # prompts from which on they are kept: fewer take seconds to encode
ROWS = 8192  # prompts of a file; an encoding that is stopped loses at most as many


def digest_of_parts(parts: Iterable[str | bytes | memoryview]) -> str:
    """A digest of texts and bytes in their order: 32 hexadecimal digits."""
    total = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        total.update(len(content).to_bytes(8, "little"))
        total.update(content)
    return total.hexdigest()[:32]


def keys_of(tokens: Tensor) -> Tensor:
    """The keys of prompts, digests of their tokens: (N, L) ids on the CPU -> (N, 2) int64."""
    ids = np.ascontiguousarray(tokens.numpy(), dtype="<i4")
    rows = ids.view(f"V{ids.shape[1] * ids.itemsize}").ravel().tolist()
    digests = b"".join([hashlib.blake2b(row.rstrip(b"\0"), digest_size=16).digest() for row in rows])  # no padding
    return torch.from_numpy(np.frombuffer(digests, dtype="<i8").reshape(-1, 2).astype(np.int64))


def cached_tokens(
    names: Sequence[str],
    others: Iterable[str],
    make: Callable[[], tuple[Tensor, Tensor, bool]],
    context_length: int,
) -> tuple[Tensor, Tensor]:
    """The tokens of a list of names, (N, L) int64, and the name of each prompt, (N,) int64.

    Args:
        names: the names.
        others: what their tokens depend on too, such as the templates.
        make: makes them, and says whether they are to be kept.
        context_length: L.
    """
    files = text_files()
    if files is None:
        return make()[:2]
    lengths = np.array([len(name) for name in names]).tobytes()
    name = f"tokens-{digest_of_parts([__version__, str(context_length), *others, lengths, ''.join(names)])}"
    for path in files.named(f"{name}-*"):
        arrays = files.read(path, ("tokens", "owner"))
        if arrays is not None:
            files.keep(path)
            tokens = arrays["tokens"].new_zeros(len(arrays["tokens"]), context_length, dtype=torch.long)
            tokens[:, : arrays["tokens"].shape[1]] = arrays["tokens"]
            return tokens, arrays["owner"].long()
    tokens, owner, keep = make()
    if keep:
        length = int(tokens.argmax(dim=1).max()) + 1
        arrays = {"tokens": tokens[:, :length].to(torch.int32), "owner": owner.to(torch.int32)}
        files.write(f"{name}-{secrets.token_hex(6)}", arrays)
    return tokens, owner


class TextCache:
    """The cache of a text tower.

    Args:
        tower: makes the digest of everything but the tokens that an embedding depends on. It is called when it is
            needed.
    """

    def __init__(self, tower: Callable[[], str]):
        self._tower = tower

    def embed(self, tokens: Tensor, encode: Callable[[Tensor], Iterator[tuple[Tensor, Tensor]]]) -> Tensor | None:
        """The embeddings of prompts: (N, L) ids -> (N, D); None where there are too few, or where the cache is off.

        Args:
            tokens: of the prompts.
            encode: encodes some prompts, given by their indices (M,): yields these indices in parts, in any order,
                each part (n,) with its embeddings (n, D).
        """
        files = text_files() if len(tokens) >= MANY else None
        if files is None:
            return None
        tower, keys = self._tower(), keys_of(tokens)
        found, missing = _read(files, tower, keys)
        if not len(missing):
            return found
        _, first, place = np.unique(keys[missing].numpy(), axis=0, return_index=True, return_inverse=True)
        encoded = _encode(files, tower, keys, missing[torch.from_numpy(first)], encode)  # equal prompts once
        encoded = encoded[torch.from_numpy(place.reshape(-1)).to(encoded.device)]
        if found is None:
            return encoded
        found = found.to(encoded.device)
        found[missing.to(found.device)] = encoded
        return found


def _read(files: TextFiles, tower: str, keys: Tensor) -> tuple[Tensor | None, Tensor]:
    """What the files have: (N, D), or None for nothing; and the indices of the prompts that are missing, (M,)."""
    found, missing = None, torch.arange(len(keys))
    for path in files.named(f"{tower}-*"):
        arrays = files.read(path, ("keys", "embeddings"))
        if arrays is None:
            continue
        rows = _rows_of(keys[missing], arrays["keys"])
        hit = rows >= 0
        if hit.any():
            files.keep(path)
            if found is None:
                found = arrays["embeddings"].new_empty(len(keys), arrays["embeddings"].shape[1])
            found.index_copy_(0, missing[hit], arrays["embeddings"].index_select(0, rows[hit]))
            missing = missing[~hit]
        if not len(missing):
            break
    return found, missing


def _encode(files: TextFiles, tower: str, keys: Tensor, asked: Tensor, encode: Callable) -> Tensor:
    """Encode prompts, given by their indices (M,) -> (M, D); write them to files meanwhile."""
    slot = torch.full((len(keys),), -1)
    slot[asked] = torch.arange(len(asked))
    encoded, waiting, done = torch.empty(0, 0), torch.empty(0, dtype=torch.long), 0
    for indices, embeddings in encode(asked):
        if not len(encoded):
            encoded = embeddings.new_empty(len(asked), embeddings.shape[1])
        encoded[slot[indices].to(encoded.device)] = embeddings
        waiting, done = torch.cat([waiting, indices]), done + len(indices)
        if len(waiting) >= ROWS or done == len(asked):
            some = encoded[slot[waiting].to(encoded.device)].cpu()
            files.write(f"{tower}-{secrets.token_hex(6)}", {"keys": keys[waiting], "embeddings": some})
            waiting = waiting[:0]
    return encoded


def _rows_of(wanted: Tensor, keys: Tensor) -> Tensor:
    """Where keys are among those of a file: (N, 2) and (M, 2) int64 -> (N,) rows, -1 for none."""
    order = keys[:, 0].argsort()
    place = torch.searchsorted(keys[order, 0], wanted[:, 0].contiguous()).clamp(max=len(keys) - 1)
    rows = order[place]
    return rows.masked_fill((keys[rows] != wanted).any(dim=1), -1)
