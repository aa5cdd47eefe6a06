"""Import data sets that other tools have written, as images, labels of class ids and a data-set file.

A reader of a format (:mod:`.coco`, :mod:`.labelme`, …) lists pictures with their regions. :mod:`.paint` makes a label
of them. :mod:`.run` does this for all pictures, and goes on after an interruption. :mod:`.report` says what overlapped,
was dropped or is empty. ``errseg data import`` is the command line.
"""

from .formats import FORMATS
from .plan import Options
from .run import Imported, import_data

__all__ = ["FORMATS", "Imported", "Options", "import_data"]
