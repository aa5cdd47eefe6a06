"""``python -m errseg``, the same as the command ``errseg``."""

import sys

from errseg.cli import main

if __name__ == "__main__":
    sys.exit(main())
