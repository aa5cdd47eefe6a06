"""The same as ``errseg compare``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
