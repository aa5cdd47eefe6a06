"""The same as ``errseg web``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["web", *sys.argv[1:]]))
