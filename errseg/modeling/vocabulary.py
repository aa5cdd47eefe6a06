"""The vocabulary of a model: names and their text embeddings.

Shapes: T names of the vocabulary, K names kept, D text dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError, short
from .clip.embedding import embed_names
from .clip.encoder import CLIPEncoder
from .clip.prompts import Prompter, TokenizedNames, check_names
from .clip.text_cache import TextCache
from .num_kept import AUTO, AutoKept, NumKept

__all__ = ["EncodedNames", "TokenizedNames", "VocabularyHolder", "check_names", "embed_names"]


@dataclass(frozen=True, eq=False)
class EncodedNames:
    """Names with their text embeddings. An object never changes; a new vocabulary is a new object.

    Each call reads the vocabulary once and passes it on. So a second thread that sets another vocabulary meanwhile does
    not affect the result.

    Attributes:
        tokenized: the names.
        text: (T, D) of unit length; None while training changes the text tower at every step.
        version: the version of the text tower that encoded them; None for embeddings of another source, which never
            become stale.
    """

    tokenized: TokenizedNames
    text: Tensor | None
    version: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The T names as given."""
        return self.tokenized.names

    @property
    def num_kept(self) -> NumKept:
        """K at test."""
        return self.tokenized.num_kept


class VocabularyHolder(nn.Module):
    """A model that holds a vocabulary.

    A subclass has either a ``prompter`` and a ``backbone`` with ``encode_text`` and ``text_is_trained``, or its own
    ``tokenize``, ``encode_names`` and ``text_is_trained``.
    """

    backbone: Any  # an encoder, such as ``CLIPEncoder``
    prompter: Prompter
    num_kept_test: NumKept = 0  # K at test where ``set_vocabulary`` gives none; 0 for all
    num_kept_train: NumKept = 0  # K in training; 0 for all
    caches_text = True  # the text embeddings of many prompts are kept on disk, until the text tower is trained
    auto_kept: AutoKept | None = None  # K that fits the image; None: the model keeps every name

    def __init__(self) -> None:
        super().__init__()
        self._encoded: EncodedNames | None = None
        self._text_version = 0  # counts the changes of the text tower
        self.register_load_state_dict_post_hook(_weights_were_loaded)

    @property
    def device(self) -> torch.device:
        """The device of the image encoder."""
        raise NotImplementedError

    # ---- methods that a system may replace ----

    def tokenize(self, names: Sequence[str], num_kept: NumKept = 0) -> TokenizedNames:
        """Check names and turn them into the input of ``encode_names``.

        Args:
            names: T names.
            num_kept: K; 0 for all T.

        Raises:
            UsageError: see ``Prompter.tokenize``.
        """
        return self.prompter.tokenize(names, num_kept)

    def encode_names(self, tokenized: TokenizedNames) -> Tensor:
        """Text embeddings: (T, D) of unit length; with gradients, unless the caller disables them."""
        return embed_names(tokenized, self.backbone.encode_text, self.text_cache())

    @property
    def text_is_trained(self) -> bool:
        """Whether training changes the text embeddings."""
        return self.backbone.text_is_trained

    def text_cache(self, *others: nn.Module) -> TextCache | None:
        """The cache of text embeddings on disk, for ``embed_names``; None where embeddings are not kept.

        Args:
            others: further modules that the embeddings depend on, beside the text tower.
        """
        kind = self.device.type
        if not self.caches_text or torch.is_grad_enabled() or kind == "meta" or torch.is_autocast_enabled(kind):
            return None
        return self.backbone.text_cache(*others) if isinstance(self.backbone, CLIPEncoder) else None

    # ---- the present vocabulary ----

    @property
    def vocabulary(self) -> TokenizedNames | None:
        """The present names; None before ``set_vocabulary``."""
        return None if self._encoded is None else self._encoded.tokenized

    @property
    def text_embeddings(self) -> Tensor | None:
        """(T, D) of unit length. None without a vocabulary, and while training changes them at every step."""
        return None if self._encoded is None else self._encoded.text

    @text_embeddings.setter
    def text_embeddings(self, text: Tensor) -> None:
        self._encoded = replace(self.encoded(), text=text, version=self._text_version)

    def set_vocabulary(self, names: Sequence[str], num_classes: NumKept | str | None = None) -> None:
        """Choose the names to segment. They are encoded now, unless training changes the text tower at every step.

        The embeddings of many prompts are also kept on disk (``clip/text_cache.py``), for the next time.

        The embeddings are kept until the vocabulary, the loaded weights or the mode changes. Call this again if you
        change the text tower's parameters directly. If this call fails, the earlier vocabulary stays. Calls that are
        running in other threads continue with their vocabulary.

        Args:
            names: T names; each may hold comma-separated synonyms.
            num_classes: K at test; 0 for all T; "auto" for ``auto_kept``; None for ``num_kept_test``.

        Raises:
            UsageError: there are no names; a name is blank or too long for the text tower; two names have equal tokens;
                or K is "auto", but the model keeps every name.
        """
        tokenized = self.tokenize(names, self.num_kept_test if num_classes is None else self.chosen_kept(num_classes))
        self._encoded = self._changing(tokenized) if self._text_changes_now() else self.encode(tokenized)

    def chosen_kept(self, num_classes: NumKept | str) -> NumKept:
        """K, of a choice that may be "auto".

        Raises:
            UsageError: the choice is another word; or it fits the image, but the model keeps every name.
        """
        if isinstance(num_classes, str) and num_classes != AUTO:
            raise UsageError(f"num_classes = {short(num_classes)!r}; give a whole number or {AUTO!r}.")
        if isinstance(num_classes, (str, AutoKept)) and self.auto_kept is None:
            raise UsageError(
                f"num_classes = {num_classes}, but this {type(self).__name__} keeps every name for every picture; "
                "leave it out."
            )
        return self.auto_kept or 0 if isinstance(num_classes, str) else num_classes

    def use(self, encoded: EncodedNames) -> None:
        """Set a vocabulary that is encoded already."""
        self._encoded = encoded

    def encode(self, tokenized: TokenizedNames) -> EncodedNames:
        """Encode names; the present vocabulary does not change."""
        version = self._text_version  # read before the weights
        with torch.inference_mode(False), torch.no_grad():  # not inference tensors: training may use them later
            return EncodedNames(tokenized, self.encode_names(tokenized), version)

    def encoded(self) -> EncodedNames:
        """The present vocabulary, for one call.

        Raises:
            RuntimeError: no vocabulary is set.
        """
        return self.up_to_date(self._held())

    def up_to_date(self, encoded: EncodedNames) -> EncodedNames:
        """The same names with embeddings of the present weights on the model's device; ``encoded`` if up to date."""
        if encoded.text is None or encoded.version not in (None, self._text_version):
            return self.encode(encoded.tokenized)
        if encoded.text.device != self.device:
            return replace(encoded, text=encoded.text.to(self.device))
        return encoded

    # ---- stale embeddings ----

    def encode_again(self) -> None:
        """Drop the text embeddings that this model made, and make new ones.

        While the text tower is trained, they are made later, when they are needed. Embeddings of another source stay.
        """
        self._text_has_changed()

    def train(self, mode: bool = True) -> "VocabularyHolder":
        """See ``nn.Module.train``. Drops embeddings that training makes stale; encodes names again for tests."""
        trains = self.training or mode
        super().train(mode)
        if mode and self.text_is_trained:
            self.caches_text = False  # weights of the midst of a training are not used again
        if trains and self.text_is_trained:
            self._text_has_changed()
        return self

    def _apply(self, *args, **kwargs) -> "VocabularyHolder":
        super()._apply(*args, **kwargs)
        if self._encoded is not None and self._encoded.text is not None:
            self._encoded = replace(self._encoded, text=args[0](self._encoded.text))
        return self

    def _held(self) -> EncodedNames:
        if self._encoded is None:
            raise RuntimeError("The model has no vocabulary; call model.set_vocabulary(names) first.")
        return self._encoded

    def text_for_training(self) -> tuple[EncodedNames, Tensor]:
        """The present vocabulary, and its text embeddings; with gradients where the text tower is trained."""
        encoded = self._held()
        return encoded, self.encode_names(encoded.tokenized) if encoded.text is None else encoded.text

    def _text_changes_now(self) -> bool:
        return self.training and self.text_is_trained

    def _changing(self, tokenized: TokenizedNames) -> EncodedNames:
        return EncodedNames(tokenized, None, self._text_version)

    def _text_has_changed(self) -> None:
        """Drop stale embeddings, then make new ones: after a failure, no stale embeddings are left."""
        self._text_version += 1
        if self._encoded is not None and self._encoded.version is not None:
            self._encoded = self._changing(self._encoded.tokenized)
            if not self._text_changes_now():
                self._encoded = self.encode(self._encoded.tokenized)


def _weights_were_loaded(model: VocabularyHolder, incompatible_keys: object) -> None:
    """A hook for loaded weights. It is a function of the module, not a lambda, so that a model can be pickled."""
    model._text_has_changed()
