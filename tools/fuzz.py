"""The same as ``errseg fuzz``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["fuzz", *sys.argv[1:]]))
