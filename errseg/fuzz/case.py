"""One input, and the right outcome for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["ACCEPT", "EITHER", "REFUSE", "Case"]

REFUSE, ACCEPT, EITHER = "refuse", "accept", "either"


@dataclass
class Case:
    """One input to try.

    Attributes:
        entry: the function or command of errseg that gets the input.
        what: the input in a few words.
        right: the right outcome: REFUSE (a sentence), ACCEPT (a result), or EITHER.
        run: gives the input to errseg; its files lie in the working folder.
        wrong: takes the result; returns what is wrong with it, or None.
    """

    entry: str
    what: str
    right: str
    run: Callable[[], Any]
    wrong: Callable[[Any], str | None] = lambda result: None
