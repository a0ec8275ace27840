"""``datasets/check.py`` is ``pcsc check``."""

import sys

from pcsc_d2.cli import main

if __name__ == "__main__":
    sys.exit(main(["check", *sys.argv[1:]]))
