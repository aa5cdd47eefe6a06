"""One input, and what is right to do with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["ACCEPT", "EITHER", "REFUSE", "Case"]

REFUSE, ACCEPT, EITHER = "refuse", "accept", "either"


@dataclass
class Case:
    """What is tried.

    Attributes:
        entry: the door of errseg that the input is put at.
        what: the input in a few words.
        right: REFUSE, ACCEPT, or EITHER: a sentence or a result.
        run: gives the input to errseg; its files lie in the working folder.
        wrong: what is wrong with the result, None where nothing is.
    """

    entry: str
    what: str
    right: str
    run: Callable[[], Any]
    wrong: Callable[[Any], str | None] = lambda result: None
