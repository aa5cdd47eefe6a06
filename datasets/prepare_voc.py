"""Convert the validation labels of PASCAL VOC 2012, without and with the background as a class.

Reads   VOCdevkit/VOC2012/{JPEGImages/*.jpg, SegmentationClassAug/*.png, ImageSets/Segmentation/val.txt}
Writes  VOCdevkit/VOC2012/{annotations_detectron2,annotations_detectron2_bg}/val/*.png

python datasets/prepare_voc.py [ROOT] [--workers N] [--force]
"""

import sys

from errseg.data.prepare import main, voc

if __name__ == "__main__":
    sys.exit(main(voc.parts, __doc__))
