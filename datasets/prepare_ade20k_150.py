"""The same as ``errseg data prepare ade20k_150``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "prepare", "ade20k_150", *sys.argv[1:]]))
