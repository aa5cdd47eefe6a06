"""The same as ``errseg data prepare coco_stuff``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "prepare", "coco_stuff", *sys.argv[1:]]))
