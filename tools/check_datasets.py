"""The same as ``errseg data check``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "check", *sys.argv[1:]]))
