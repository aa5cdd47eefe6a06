"""The same as ``errseg data prepare pascal_context_59``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main(["data", "prepare", "pascal_context_59", *sys.argv[1:]]))
