"""A stand-in for Detectron2 where the real one is not installed.

Detectron2 must be compiled against the installed torch and is on no package index. ``import errseg`` therefore puts
this package last on the import path: an installed Detectron2 is preferred to it (``ERRSEG_DETECTRON2=real|compat``
forces one).

It holds the part of Detectron2's interface that errseg uses, at the same module paths, with the same names, signatures
and defaults: configuration, registries, data sets and loaders, augmentations, trainer and hooks, evaluation,
checkpoints and multi-process launch. It stands on the libraries that Detectron2 itself stands on (fvcore, iopath, yacs)
and on torch. Models, boxes and instances are not in it. A configuration or a checkpoint written under one loads under
the other, and ``tests/compat`` states the interface that both honour.
"""

__version__ = "0.6+errseg.compat"
