"""The same as ``errseg mini pretrain``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["mini", "pretrain", *sys.argv[1:]]))
