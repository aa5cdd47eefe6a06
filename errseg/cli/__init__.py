"""The command ``errseg``: a table of commands, and one module for each of them.

A module has ``add_arguments(parser)``, which imports nothing large, and ``run(args)``, which returns the exit status.
Its docstring is the command's help.
"""

from .main import main

__all__ = ["main"]
