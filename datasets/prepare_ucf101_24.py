"""Lay out UCF101-24 under the dataset root, from the files as they are distributed.

    python datasets/prepare_ucf101_24.py UCF-101/ pyannot.pkl testlist01.txt --root datasets

Sources, in any number and order: the folder or archive of UCF-101 by class, or the frames that
ACT-detector and MOC-detector distribute; pyannot.pkl, finalAnnots.mat or UCF101v2-GT.pkl; the
official test list, or the folder that holds it.
"""

from __future__ import annotations

import sys

from pcsc_d2.datasets.prepare import main

if __name__ == "__main__":
    sys.exit(main("ucf24", __doc__.splitlines()[0]))
