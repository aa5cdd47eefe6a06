"""The same as ``errseg data prepare ade20k_full``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "prepare", "ade20k_full", *sys.argv[1:]]))
