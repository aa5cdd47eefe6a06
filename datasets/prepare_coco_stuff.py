"""Convert the labels of COCO-Stuff, training and validation.

Reads   coco-stuff/{images/*.jpg, annotations/*.png}, each in train2017 and val2017
Writes  coco-stuff/annotations_detectron2/{train2017,val2017}/*.png

python datasets/prepare_coco_stuff.py [ROOT] [--workers N] [--force]
"""

import sys

from errseg.data.prepare import coco_stuff, main

if __name__ == "__main__":
    sys.exit(main(coco_stuff.parts, __doc__))
