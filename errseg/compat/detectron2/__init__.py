"""A stand-in for Detectron2 where it is not installed: the part of its interface that errseg uses.

``import errseg`` adds this package to the end of the import path, so that an installed Detectron2 is preferred;
``ERRSEG_DETECTRON2=real|compat`` forces one. Names, module paths and results are Detectron2's. A configuration or a
checkpoint that was written under one loads under the other. Using a part that is not here raises a sentence
(``outside.py``). ``docs/compat.md`` lists the parts; ``tests/compat`` runs on both.
"""

from .outside import outside

__getattr__ = outside(globals())

__version__ = "0.6+errseg.compat"
