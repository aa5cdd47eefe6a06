"""The same as ``errseg render``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["render", *sys.argv[1:]]))
