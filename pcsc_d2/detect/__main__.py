"""``python -m pcsc_d2.detect`` is ``pcsc detect``."""

import sys

from pcsc_d2.cli import main

if __name__ == "__main__":
    sys.exit(main(["detect", *sys.argv[1:]]))
