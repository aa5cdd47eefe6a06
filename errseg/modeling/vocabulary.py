"""The vocabulary of a model: names and their text embeddings, which are replaced together or not at all.

A call reads them once and passes them on, so that another thread that sets a vocabulary meanwhile changes no answer.

Shapes: T names, D text dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from .clip.prompts import Prompter, Vocabulary, embed_vocabulary


@dataclass(frozen=True, eq=False)
class EncodedVocabulary:
    """Names and their text embeddings. It never changes.

    Attributes:
        vocabulary: the names.
        text: (T, D) of unit length; None while training changes the text tower at every step.
        version: of the text tower that encoded them; None for embeddings of another source, which never go stale.
    """

    vocabulary: Vocabulary
    text: Tensor | None
    version: int | None = None


class OpenVocabularyModel(nn.Module):
    """A model with a vocabulary.

    Sub-classes have ``backbone`` (``encode_text``, ``text_is_trained``), ``prompter``, ``num_classes_test`` and
    ``device``.
    """

    backbone: nn.Module
    prompter: Prompter
    num_classes_test: int
    device: torch.device

    def __init__(self):
        super().__init__()
        self._encoded: EncodedVocabulary | None = None
        self._text_version = 0  # counts the changes of the text tower
        self.register_load_state_dict_post_hook(_weights_were_loaded)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The names that are set; None before ``set_vocabulary``."""
        return None if self._encoded is None else self._encoded.vocabulary

    @property
    def text_embeddings(self) -> Tensor | None:
        """(T, D) of unit length; None without a vocabulary, and while training changes them at every step."""
        return None if self._encoded is None else self._encoded.text

    @text_embeddings.setter
    def text_embeddings(self, text: Tensor) -> None:
        self._encoded = replace(self.encoded(), text=text, version=self._text_version)

    def set_vocabulary(self, names: Sequence[str], num_classes: int | None = None) -> None:
        """Choose the names to segment, and encode them unless training changes the text tower at every step.

        The embeddings are kept until the vocabulary, the weights loaded or the mode changes; whoever changes the text
        tower's parameters by hand calls this again. Where it fails, the vocabulary of before stays. Calls that run in
        other threads keep the vocabulary that they began with.

        Args:
            names: T names; each may hold comma-separated synonyms.
            num_classes: K at test; None for ``MODEL.CRM.NUM_CLASSES_TEST``, 0 for all T.

        Raises:
            UsageError: no names; one is blank, longer than the text tower reads, or the same to it as another.
        """
        vocabulary = self.prompter.vocabulary(names, self.num_classes_test if num_classes is None else num_classes)
        self._encoded = self._changing(vocabulary) if self._text_changes_now() else self.encode(vocabulary)

    def use(self, encoded: EncodedVocabulary) -> None:
        """Choose names that are encoded already."""
        self._encoded = encoded

    def encode(self, vocabulary: Vocabulary) -> EncodedVocabulary:
        """The text embeddings of some names; the vocabulary that is set stays."""
        version = self._text_version  # before the weights are read
        with torch.inference_mode(False), torch.no_grad():  # kept, so of use in training later too
            return EncodedVocabulary(vocabulary, embed_vocabulary(vocabulary, self.backbone.encode_text), version)

    def encoded(self) -> EncodedVocabulary:
        """The vocabulary that is set, for one call.

        Raises:
            RuntimeError: there is none.
        """
        return self.up_to_date(self._held())

    def up_to_date(self, encoded: EncodedVocabulary) -> EncodedVocabulary:
        """The same names with embeddings of the present weights, on the model's device; ``encoded`` if it is that."""
        if encoded.text is None or encoded.version not in (None, self._text_version):
            return self.encode(encoded.vocabulary)
        if encoded.text.device != self.device:
            return replace(encoded, text=encoded.text.to(self.device))
        return encoded

    def train(self, mode: bool = True) -> "OpenVocabularyModel":
        """As ``nn.Module.train``; text embeddings that training makes stale are dropped, and made anew for tests."""
        trains = self.training or mode
        super().train(mode)
        if trains and self.backbone.text_is_trained:
            self._text_has_changed()
        return self

    def _apply(self, *args, **kwargs) -> "OpenVocabularyModel":
        super()._apply(*args, **kwargs)
        if self.text_embeddings is not None:
            self._encoded = replace(self._encoded, text=args[0](self.text_embeddings))
        return self

    def _held(self) -> EncodedVocabulary:
        if self._encoded is None:
            raise RuntimeError("The model has no vocabulary; call model.set_vocabulary(names) first.")
        return self._encoded

    def _text_changes_now(self) -> bool:
        return self.training and self.backbone.text_is_trained

    def _changing(self, vocabulary: Vocabulary) -> EncodedVocabulary:
        return EncodedVocabulary(vocabulary, None, self._text_version)

    def _text_has_changed(self) -> None:
        """Drop stale embeddings before new ones are made, so that a failure leaves none."""
        self._text_version += 1
        if self._encoded is not None and self._encoded.version is not None:
            self._encoded = self._changing(self._encoded.vocabulary)
            if not self._text_changes_now():
                self._encoded = self.encode(self._encoded.vocabulary)


def _weights_were_loaded(model: OpenVocabularyModel, incompatible_keys: object) -> None:
    """A hook of the module, not a lambda, so that a model can be pickled."""
    model._text_has_changed()
