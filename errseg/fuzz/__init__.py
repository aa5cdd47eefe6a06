"""Make inputs that are wrong in many ways, from a seed, and judge what errseg does with each of them.

``KINDS`` holds a generator for each kind of input; ``try_case`` gives one input to errseg in a process of its own and
judges the outcome.
"""

from .case import Case
from .judge import FAULTS, Outcome, try_case
from .kinds import KINDS

__all__ = ["FAULTS", "KINDS", "Case", "Outcome", "try_case"]
