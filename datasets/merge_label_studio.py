"""Merge Label Studio's brush masks, a file for each class of an image, into labels of class ids.

Reads   MASKS, the export "Brush labels to PNG", the JSON export of the same project, and IMAGES
Writes  LABELS/<image>.png and LABELS/names.json, and prints the data-set file that goes with them

python datasets/merge_label_studio.py MASKS EXPORT.json IMAGES --out LABELS [--names FILE] [--background NAME]
"""

import sys

from errseg.data.prepare.label_studio import main

if __name__ == "__main__":
    sys.exit(main(__doc__))
