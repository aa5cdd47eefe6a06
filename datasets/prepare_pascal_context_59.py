"""Convert the validation labels of PC-59, the 59 frequent classes of PASCAL-Context.

Reads   VOCdevkit/VOC2010/{JPEGImages/*.jpg, trainval_merged.json}
Writes  VOCdevkit/VOC2010/annotations_detectron2/pc59_val/*.png

python datasets/prepare_pascal_context_59.py [ROOT] [--workers N] [--force]
"""

import sys

from errseg.data.prepare import main, pascal_context

if __name__ == "__main__":
    sys.exit(main(pascal_context.parts_59, __doc__))
