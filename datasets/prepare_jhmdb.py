"""Lay out J-HMDB-21 under the dataset root, from the files as they are distributed.

    python datasets/prepare_jhmdb.py JHMDB_video/ puppet_mask.zip splits.zip --root datasets

Sources, in any number and order: JHMDB_video, Rename_Images, or the archive of frames that
ACT-detector and MOC-detector distribute; puppet_mask with splits, or JHMDB-GT.pkl, which comes
first where both are there.
"""

from __future__ import annotations

import sys

from pcsc_d2.datasets.prepare import main

if __name__ == "__main__":
    sys.exit(main("jhmdb", __doc__.splitlines()[0]))
