"""The same as ``errseg doctor``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["doctor", *sys.argv[1:]]))
