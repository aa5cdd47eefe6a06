"""The same as ``errseg parity``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["parity", *sys.argv[1:]]))
