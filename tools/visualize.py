"""The same as ``errseg inspect``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["inspect", *sys.argv[1:]]))
