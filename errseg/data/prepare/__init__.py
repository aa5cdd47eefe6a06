"""Convert the published downloads to the labels that :mod:`errseg.data.benchmarks` registers.

Each data set has a module, which lists its images as tasks (``parts``). :mod:`.tasks` converts them; :mod:`.raw` reads
and checks the published files. ``errseg data prepare`` is the command line.
"""

from . import ade20k_150, ade20k_full, coco_stuff, pascal_context, voc
from .convert import convert

__all__ = ["ade20k_150", "ade20k_full", "coco_stuff", "convert", "pascal_context", "voc"]
