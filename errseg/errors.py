"""The error of a wrong key, path or file."""

__all__ = ["UsageError", "short"]


class UsageError(ValueError):
    """Something in the user's hands is wrong; the message is one sentence that names it and the remedy.

    Command lines print the sentence and end with status 2; from Python it is an ordinary exception.
    """


def short(value: object, most: int = 100) -> str:
    """A value as a part of a message: in one line, of ``most`` characters and a mark where more are left out."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]}…"
