"""``python -m pcsc_d2.tubes`` is ``pcsc tubes``."""

import sys

from pcsc_d2.cli import main

if __name__ == "__main__":
    sys.exit(main(["tubes", *sys.argv[1:]]))
