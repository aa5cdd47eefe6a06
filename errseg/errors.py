"""The error of a wrong key, path or file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["ArgumentError", "UsageError", "arguments_from", "short"]


class UsageError(ValueError):
    """A key, path, file or argument of the user is wrong; the message is one sentence that names it and the remedy.

    Command lines print the sentence and end with status 2; from Python it is an ordinary exception.
    """


def short(value: object, most: int = 100) -> str:
    """A value for a message: in one line, and cut after ``most`` characters, with a mark, where it is longer."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}…"


class ArgumentError(UsageError):
    """An argument of a constructor is wrong.

    The message names arguments in braces, as in ``"{num_heads} = 3 does not divide {dim} = 128; choose a divisor."``.
    A constructor knows no configuration keys. Where keys are read, ``arguments_from`` replaces the braces by keys.
    """

    def __init__(self, message: str):
        super().__init__(re.sub(r"\{(\w+)\}", r"\1", message))
        self.message = message


@contextmanager
def arguments_from(section: str = "", **keys: str) -> Iterator[None]:
    """Turn an ``ArgumentError`` into a ``UsageError`` that names the configuration keys of the arguments.

    Args:
        section: such as "MODEL.ESCF": ``num_heads`` becomes ``MODEL.ESCF.NUM_HEADS``.
        keys: the keys of those arguments that have another name than their key.

    Raises:
        UsageError: an argument is wrong.
    """
    try:
        yield
    except ArgumentError as error:

        def key(match: re.Match) -> str:
            return keys.get(match[1], f"{section}.{match[1].upper()}" if section else match[1])

        raise UsageError(re.sub(r"\{(\w+)\}", key, error.message)) from error
