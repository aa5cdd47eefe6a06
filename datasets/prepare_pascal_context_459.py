"""Convert the validation labels of PC-459, all classes of PASCAL-Context.

Reads   VOCdevkit/VOC2010/{JPEGImages/*.jpg, trainval_merged.json, trainval/*.mat}
Writes  VOCdevkit/VOC2010/annotations_detectron2/pc459_val/*.tif

python datasets/prepare_pascal_context_459.py [ROOT] [--workers N] [--force]
"""

import sys

from errseg.data.prepare import main, pascal_context

if __name__ == "__main__":
    sys.exit(main(pascal_context.parts_459, __doc__))
