"""Convert the validation labels of A-150, the 150 classes of ADE20K's scene parsing challenge.

Reads   ADEChallengeData2016/{images,annotations}/validation
Writes  ADEChallengeData2016/annotations_detectron2/validation/*.png

python datasets/prepare_ade20k_150.py [ROOT] [--workers N] [--force]
"""

import sys

from errseg.data.prepare import ade20k_150, main

if __name__ == "__main__":
    sys.exit(main(ade20k_150.parts, __doc__))
