"""From the published downloads to the converted labels that :mod:`errseg.data.benchmarks` registers.

A module for each data set lists its images as tasks (``parts``); :mod:`.tasks` converts them, and :mod:`.raw` reads and
checks what was published. ``errseg data prepare`` is the command line.
"""

from . import ade20k_150, ade20k_full, coco_stuff, pascal_context, voc
from .convert import convert

__all__ = ["ade20k_150", "ade20k_full", "coco_stuff", "convert", "pascal_context", "voc"]
