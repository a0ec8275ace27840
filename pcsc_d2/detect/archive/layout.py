"""What lies in an output folder beside the videos' folders."""

from __future__ import annotations

# The page of all videos, and where the pages are that it is split into if they are many.
PAGE, PAGES = "index.html", "pages"
# One row for each tube of all videos; the same with boxes; how many there are of what.
TABLE, PARQUET, COUNTS = "tubes.csv", "tubes.parquet", "summary.json"
# Of the hidden folders in which results are made, and of the old ones that they replace.
WORK_PREFIX = ".detect-"
# The hidden folder of the jobs' journals.
JOURNAL = ".journal"
# Names that no video's folder may have.
RESERVED = frozenset({PAGE, PAGES, TABLE, PARQUET, COUNTS})
