"""``python -m pcsc_d2.export`` is ``pcsc export``."""

import sys

from pcsc_d2.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
