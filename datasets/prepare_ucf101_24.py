"""``datasets/prepare_ucf101_24.py`` is ``pcsc prepare ucf101_24``."""

import sys

from pcsc_d2.cli import main

if __name__ == "__main__":
    sys.exit(main(["prepare", "ucf101_24", *sys.argv[1:]]))
