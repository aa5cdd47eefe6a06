"""The same as ``errseg data prepare voc``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "prepare", "voc", *sys.argv[1:]]))
