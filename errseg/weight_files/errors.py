"""The error of a file that does not hold weights."""

from errseg.errors import UsageError

__all__ = ["NotWeights"]


class NotWeights(UsageError):
    """A file is no checkpoint, or a damaged one."""
