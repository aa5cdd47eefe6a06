"""The error of a wrong key, path or file."""

__all__ = ["UsageError"]


class UsageError(ValueError):
    """Something in the user's hands is wrong; the message is one sentence that names it and the remedy.

    Command lines print the sentence and end with status 2; from Python it is an ordinary exception.
    """
