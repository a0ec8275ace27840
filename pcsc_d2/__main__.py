"""``python -m pcsc_d2`` is ``pcsc``."""

import sys

from pcsc_d2.cli import main

if __name__ == "__main__":
    sys.exit(main())
