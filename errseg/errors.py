"""The error of a wrong key, path or file."""

import re
from collections.abc import Callable, Iterator
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

    A constructor knows no configuration key. Its message names arguments in braces. ``arguments_from`` puts the keys in
    their place, where the arguments are read.

    Args:
        message: such as ``"{num_heads} = %s does not divide {dim} = %s; choose a divisor."``.
        values: of the arguments, for the ``%s`` and ``%r`` of the message; braces in them mean nothing.
    """

    def __init__(self, message: str, *values: object):
        self.message, self.values = message, values
        super().__init__(self.naming(lambda name: name))

    def naming(self, name_of: Callable[[str], str]) -> str:
        """The message with other names for the arguments."""
        return re.sub(r"\{(\w+)\}", lambda match: name_of(match[1]), self.message) % self.values


@contextmanager
def arguments_from(section: str = "", **keys: str) -> Iterator[None]:
    """Let an ``ArgumentError`` within name the configuration keys that its arguments were read from.

    Args:
        section: such as "MODEL.ESCF": ``num_heads`` becomes ``MODEL.ESCF.NUM_HEADS``.
        keys: the keys of arguments that have other names.

    Raises:
        UsageError: in place of the ``ArgumentError``.
    """
    try:
        yield
    except ArgumentError as error:

        def key(name: str) -> str:
            return keys.get(name, f"{section}.{name.upper()}" if section else name)

        raise UsageError(error.naming(key)) from error
