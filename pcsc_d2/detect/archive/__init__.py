"""Archives: what thousands of videos share, from one process to a cluster.

Each video's folder is the truth. A job notes in a journal of its own which ones it finished, so
that no file that grows is written again for a video; pages, tables and counts are made from the
journals of all jobs of an output folder.
"""
