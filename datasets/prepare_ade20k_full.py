"""Convert the validation images and labels of A-847, the full ADE20K of January 2021.

Reads   ADE20K_2021_17_01/index_ade20k.pkl, and the images and *_seg.png that it lists
Writes  ADE20K_2021_17_01/{images_detectron2/validation/*.jpg, annotations_detectron2/validation/*.tif}

python datasets/prepare_ade20k_full.py [ROOT] [--workers N] [--force]
"""

import sys

from errseg.data.prepare import ade20k_full, main

if __name__ == "__main__":
    sys.exit(main(ade20k_full.parts, __doc__))
