"""What the calls of a Segmenter segment: one choice of names for each thread that makes one."""

import threading
from typing import Any

import torch

from errseg.data.vocabularies import Vocabulary
from errseg.modeling.vocabulary import EncodedNames, VocabularyHolder

__all__ = ["Choice", "Choices"]


class Choice:
    """Names, and their text embeddings. Only the embeddings change, and only where the model's weights do."""

    def __init__(self, vocabulary: Vocabulary, encoded: EncodedNames):
        self.vocabulary = vocabulary
        self.classes = torch.tensor(vocabulary.prompt_classes, dtype=torch.int32)  # of each prompt
        self._encoded = encoded

    def encoded(self, model: VocabularyHolder) -> EncodedNames:
        """The names as the model has encoded them; anew where weights were loaded or trained since."""
        self._encoded = encoded = model.up_to_date(self._encoded)
        return encoded


class Choices:
    """Each thread has the choice that it has made last; one that has made none has the last of any thread."""

    def __init__(self, latest: Choice | None = None):
        self._latest = latest
        self._own = threading.local()  # .choice: this thread's

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, and other processes, begin with the choice of the thread that makes them."""
        return Choices, (self.current,)

    @property
    def current(self) -> Choice | None:
        """This thread's; None where no thread has made any."""
        return getattr(self._own, "choice", self._latest)

    def make(self, choice: Choice) -> None:
        """Choose for this thread, and for those that choose nothing themselves."""
        self._latest = self._own.choice = choice
