"""The same as ``errseg benchmark``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["benchmark", *sys.argv[1:]]))
