"""``datasets/prepare_jhmdb.py`` is ``pcsc prepare jhmdb``."""

import sys

from pcsc_d2.cli import main

if __name__ == "__main__":
    sys.exit(main(["prepare", "jhmdb", *sys.argv[1:]]))
