"""The same as ``errseg export``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
