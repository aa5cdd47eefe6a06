"""From the published downloads to the converted labels that :mod:`errseg.data.benchmarks` registers.

A module for each data set lists its images as tasks (``parts``); :mod:`.tasks` converts them, and :mod:`.raw` reads and
checks what was published. The scripts in ``datasets/`` are the command lines.
"""

from . import ade20k_150, ade20k_full, coco_stuff, pascal_context, voc
from .command_line import main

__all__ = ["ade20k_150", "ade20k_full", "coco_stuff", "main", "pascal_context", "voc"]
