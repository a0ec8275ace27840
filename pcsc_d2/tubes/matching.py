"""Greedy matching and suppression, for any number of independent groups at once.

Both work on lists of candidate pairs. Each round settles every pair whose outcome no other pair
can change any more, so that the number of rounds is the length of the longest chain of conflicts
(two or three as a rule), not the number of rows.
"""

from __future__ import annotations

import numpy as np

from pcsc_d2.tubes.arrays import ranges


def pair_up(starts: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair row i with columns ``starts[i] .. starts[i] + counts[i] - 1``; sorted by row."""
    return np.repeat(np.arange(len(counts)), counts), ranges(starts, counts)


def join(keys: np.ndarray, truth_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair (row, truth) of equal keys, sorted by row, then truth."""
    order = np.argsort(truth_keys, kind="stable")
    unique, starts, counts = np.unique(truth_keys[order], return_index=True, return_counts=True)
    if not unique.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    place = np.minimum(np.searchsorted(unique, keys), len(unique) - 1)
    rows = np.flatnonzero(unique[place] == keys)
    pairs, truths = pair_up(starts[place[rows]], counts[place[rows]])
    return rows[pairs], order[truths]


def later_in_group(groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (i, j), i < j, of rows in the same group; ``groups`` (N,) is sorted."""
    ends = np.flatnonzero(np.append(groups[1:] != groups[:-1], True)[: len(groups)]) + 1
    end_of_row = np.repeat(ends, np.diff(ends, prepend=0))
    rows = np.arange(len(groups))
    return pair_up(rows + 1, end_of_row - rows - 1)


def match_greedily(
    rows: np.ndarray, columns: np.ndarray, num_rows: int, num_columns: int
) -> np.ndarray:
    """Let each row, in ascending order, take the first of its columns that is still free.

    Args:
        rows: (K,) row of each candidate pair, ascending.
        columns: (K,) column of each pair; a row's pairs are in its order of preference.

    Returns:
        (num_rows,) the column taken, or -1.
    """
    taken_by_row = np.full(num_rows, -1, np.int64)
    taken = np.zeros(num_columns, bool)
    best_row = np.empty(num_columns, np.int64)
    while rows.size:
        # Written backwards, so that the first of the rows that want a column is what remains.
        best_row[columns[::-1]] = rows[::-1]
        first_choice = np.append(True, rows[1:] != rows[:-1])
        settled = first_choice & (best_row[columns] == rows)
        taken_by_row[rows[settled]] = columns[settled]
        taken[columns[settled]] = True
        open_pairs = (taken_by_row[rows] < 0) & ~taken[columns]
        rows, columns = rows[open_pairs], columns[open_pairs]
    return taken_by_row


def suppress(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Non-maximum suppression over the pairs that overlap too much.

    Args:
        first: (K,) the better row of each overlapping pair; better rows come first.
        second: (K,) the worse row.
        count: number of rows.

    Returns:
        (count,) bool, True for a row that no better row that stays overlaps.
    """
    keep = np.ones(count, bool)
    while first.size:
        threatened = np.zeros(count, bool)
        threatened[second] = True
        keep[second[~threatened[first]]] = False
        undecided = keep[first] & keep[second] & threatened[first]
        first, second = first[undecided], second[undecided]
    return keep
