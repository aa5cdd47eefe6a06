"""The names that a Segmenter uses. Each thread may choose its own names."""

import threading
from typing import Any

import torch

from errseg.data.vocabularies import Vocabulary
from errseg.modeling.vocabulary import EncodedNames, VocabularyHolder

__all__ = ["Choice", "Choices"]


class Choice:
    """Names and their text embeddings. The embeddings are computed again if the model's weights have changed."""

    def __init__(self, vocabulary: Vocabulary, encoded: EncodedNames):
        self.vocabulary = vocabulary
        self.classes = torch.tensor(vocabulary.prompt_classes, dtype=torch.int32)  # the class of each prompt
        self._encoded = encoded

    def encoded(self, model: VocabularyHolder) -> EncodedNames:
        """The encoded names. They are encoded again if weights were loaded or trained since the last time."""
        self._encoded = encoded = model.up_to_date(self._encoded)
        return encoded


class Choices:
    """The choice of each thread: its own last choice, or, if it has made none, the last choice of any thread."""

    def __init__(self, latest: Choice | None = None):
        self._latest = latest
        self._own = threading.local()  # attribute "choice": the choice of this thread

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, or an object sent to another process, starts with the choice of the thread that makes it."""
        return Choices, (self.current,)

    @property
    def current(self) -> Choice | None:
        """The choice of this thread; None where no thread has made a choice."""
        return getattr(self._own, "choice", self._latest)

    def make(self, choice: Choice) -> None:
        """Set the choice of this thread, and of the threads that have made none."""
        self._latest = self._own.choice = choice
