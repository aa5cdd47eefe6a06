"""The same as ``errseg predict``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
