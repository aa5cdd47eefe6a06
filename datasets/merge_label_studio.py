"""The same as ``errseg data merge-label-studio``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "merge-label-studio", *sys.argv[1:]]))
