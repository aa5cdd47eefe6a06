"""The command ``errseg``: a table of commands, and one module for each command.

A module has ``add_arguments(parser)``, which imports nothing large, and ``run(args)``, which returns the exit status.
The module's docstring is the help text of its command.
"""

from .main import main

__all__ = ["main"]
