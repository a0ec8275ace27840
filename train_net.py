#!/usr/bin/env python
"""``train_net.py`` is ``pcsc train``: train or evaluate a two-stream action detector."""

import sys

from pcsc_d2.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
