"""The version of errseg."""

__version__ = "0.2.0"
