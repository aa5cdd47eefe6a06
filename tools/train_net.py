"""Train or evaluate a model with Detectron2's options.

Train:     python tools/train_net.py --config-file configs/errseg_convnext_base.yaml --num-gpus 4
Resume:    the same, with --resume
Evaluate:  python tools/train_net.py --config-file … --eval-only MODEL.WEIGHTS output/model_final.pth
Your data: python tools/train_net.py --config-file … --dataset my.yaml

--num-gpus starts one process on each GPU. torchrun works too: torchrun --nproc-per-node 4 tools/train_net.py …
"""

import sys

import errseg  # noqa: F401  makes detectron2 importable

# isort: split
from detectron2.engine import default_argument_parser

from errseg.cli.training import start


def main() -> int:
    """Parse Detectron2's options and errseg's, and run the request; returns the exit status."""
    parser = default_argument_parser(epilog=__doc__)
    parser.set_defaults(dist_url="auto", num_gpus=0)  # any free port; one process, on a GPU if there is one
    parser.add_argument(
        "--dataset", metavar="FILE.yaml", help="train and evaluate on this data set; with --eval-only, only evaluate"
    )
    parser.add_argument(
        "--save-predictions",
        metavar="DIR",
        help="with --eval-only: write a label file for each image; existing files are kept and scored",
    )
    parser.add_argument(
        "--available", action="store_true", help="evaluate only on the data sets of DATASETS.TEST that are on disk"
    )
    args = parser.parse_args()
    args.program = "train_net.py"
    return start(args)


if __name__ == "__main__":
    sys.exit(main())
