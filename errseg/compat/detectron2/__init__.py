"""A stand-in for Detectron2 where the real one is not installed: the part of its interface that errseg stands on.

``import errseg`` puts this package last on the import path: an installed Detectron2 is preferred to it
(``ERRSEG_DETECTRON2=real|compat`` forces one). Names and module paths are Detectron2's, and so are the results; what
errseg does not need is left out, and importing or calling it is an error. A configuration or a checkpoint written
under one loads under the other, and ``tests/compat`` states the interface that both honour.
"""

from .outside import outside

__getattr__ = outside(globals())

__version__ = "0.6+errseg.compat"
